// Package teachers turns a frozen classifier into signals to learn from: its
// logits, and one attention map for each of the values it is tapped at.
//
// Open makes a teacher of an ONNX file. It finds out how the file wants to be
// fed (axis order, size, element type, batch), takes logits from before a
// softmax, suggests where to tap, and appends the attention maps to the graph
// itself, so that ONNX Runtime returns a few numbers in place of whole
// activations. A Cached teacher is asked about each sample and view once, and
// from then on a Cache on disk answers. Each is a Teacher. AttachGradient adds to
// a Session's signals the gradient of the labels' cross-entropy by the image, which
// a second model computes. Inspect reports what Open would find. Evaluate,
// Latency and Runtime run and time any model and tell which runtime does it.
//
// Maps follow Zagoruyko & Komodakis, "Paying More Attention to Attention",
// ICLR 2017 (arXiv:1612.03928), section 3.1.
//
// Students and training are unknown here: package pipeline brings the two
// together. ONNX Runtime is reached through teachers/internal/ort only.
package teachers
