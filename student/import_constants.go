package student

import (
	"fmt"
	"math"
	"path"
	"slices"
	"strings"
	"unicode"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/student/importer"
)

// A file does not say which of its tensors were trained. What a layer reads as
// weight, bias, scale, shift or slope was, whatever it is called; so were an
// attention's bias and the factor and summand of each channel behind a layer,
// which is how exporters write normalisations out. Of the tensors that are left,
// those were trained that exporters name like parameters: class tokens, position
// embeddings, gains. What is applied to the image before the first layer
// normalises it and was not; nor was a mask.

// parameterWords are words in the names that PyTorch, timm, Keras, tf2onnx, CNTK,
// MXNet and this program give to what is trained.
var parameterWords = []string{
	"weight", "weights", "kernel", "bias", "biases", "gamma", "beta", "alpha", "scale", "shift", "gain", "gains", "slope", "slopes",
	"token", "tokens", "cls", "embed", "embeds", "embedding", "embeddings", "emb", "query", "queries", "prompt", "prompts", "latent", "latents",
	"temperature", "param", "parameter", "parameters", "variable", "original", "free",
}

// constantWords are words in the names of what is not trained, which may have
// one of parameterWords beside them: "weight_mask", "cos_emb".
var constantWords = []string{
	"mask", "masks", "index", "indices", "idx", "ids", "grid", "grids", "coords", "anchor", "anchors",
	"mean", "var", "variance", "std", "running", "moving", "freq", "freqs", "sin", "cos", "constant",
}

// parameterLetters are names of one letter below a layer's: Caffe2's and
// Paddle's "fc.w_0" and "fc.b_0", and the power of generalised-mean pooling.
var parameterLetters = []string{"w", "b", "p"}

// namedLikeParameter reports whether a tensor has a name that exporters give to
// what is trained.
func namedLikeParameter(name string) bool {
	name = name[strings.LastIndexByte(name, ';')+1:]
	if i := strings.LastIndexByte(name, ':'); i > 0 && strings.Trim(name[i+1:], "0123456789") == "" {
		name = name[:i] // TensorFlow's number of an output
	}
	dir, last := path.Split(strings.ReplaceAll(strings.ReplaceAll(name, "::", "/"), ".", "/"))
	words := wordsOf(last)
	if slices.Contains(words, "variable") { // "bn/moving_mean/ReadVariableOp"
		words = append(words, wordsOf(path.Base(dir))...)
	}
	in := func(list []string) func(string) bool {
		return func(w string) bool { return slices.Contains(list, w) }
	}
	if slices.ContainsFunc(words, in(constantWords)) {
		return false
	}
	return slices.ContainsFunc(words, in(parameterWords)) || dir != "" && len(words) == 1 && slices.Contains(parameterLetters, words[0])
}

// wordsOf splits a name into its words in lower case, without numbers.
func wordsOf(name string) []string {
	var b strings.Builder
	small := false
	for _, r := range name {
		if unicode.IsUpper(r) && small {
			b.WriteByte(' ')
		}
		small = unicode.IsLower(r)
		if !unicode.IsLetter(r) {
			r = ' '
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return strings.Fields(b.String())
}

// planParameters decides which constants are learned wherever they stand. all
// makes it every tensor of real numbers.
func (p *program) planParameters(all bool) {
	p.trainAll = all
	for name, t := range p.Constants {
		n, err := t.Len()
		p.learns[name] = err == nil && t.Type.Float() && (all && n > 1 || namedLikeParameter(name))
	}
	reached := map[string]bool{}
	for _, v := range p.Inputs {
		reached[v.Name] = true
	}
	seen := map[string]bool{}
	for i, c := range p.Calls {
		if !p.needed[i] || c.Op == "Shape" || c.Op == "Size" { // which are known before an image is
			continue
		}
		weighed := slices.ContainsFunc(c.Inputs, func(v string) bool { return p.weighed[v] })
		image := slices.ContainsFunc(c.Inputs, func(v string) bool { return reached[v] })
		var plan func(name string, t *onnx.Tensor)
		switch {
		case slices.Contains(weighingOps, c.Op):
			weighed = weighed || image
		case all:
		case image && !weighed:
			plan = func(name string, _ *onnx.Tensor) { p.learns[name] = false }
		case weighed && c.Op == "Concat" && c.Node.Int("axis", 1) == 1:
			plan = func(name string, t *onnx.Tensor) { p.learns[name] = p.learns[name] || isToken(t) }
		}
		for _, v := range c.Inputs {
			if plan != nil && !reached[v] {
				p.eachConstant(v, seen, plan)
			}
		}
		for _, v := range c.Outputs {
			p.weighed[v], reached[v] = weighed, image
		}
	}
}

// eachConstant calls f with the constants that a value is computed of, unless it
// has seen the value.
func (p *program) eachConstant(v string, seen map[string]bool, f func(name string, t *onnx.Tensor)) {
	if v == "" || seen[v] {
		return
	}
	seen[v] = true
	if t := p.Constants[v]; t != nil {
		f(v, t)
	} else if c := p.callOf(v); c != nil {
		for _, x := range c.Inputs {
			p.eachConstant(x, seen, f)
		}
	}
}

// mostTokens bounds the tokens that a network learns to put before those of the
// image: one for the class, one for a teacher, a few registers.
const mostTokens = 16

// isToken reports whether a tensor is what a network of tokens [N, T, C] learns
// to put before those of the image.
func isToken(t *onnx.Tensor) bool {
	d := t.Dims
	return t.Type.Float() && len(d) == 3 && d[0] == 1 && d[1] >= 1 && d[1] <= mostTokens && d[2] > 1
}

// asWeight makes a constant of real numbers, which a layer reads, one that is
// learned.
func (im *importing) asWeight(v value) value {
	if v.constant != nil && v.constant.Type.Float() {
		v.learned = true
	}
	return v
}

// asChannels is asWeight for an operand b of an Add or a Mul that has a number
// for each channel of a, once that is computed by a layer: along its last axis,
// or that of an image's channels.
func (im *importing) asChannels(a, b value) value {
	if !a.weighed || a.node == nil || b.constant == nil || b.learned || !b.constant.Type.Float() {
		return b
	}
	shape, dims := im.fileShape(a), im.fileShape(b)
	at := -1
	for i, d := range dims {
		if d == 1 {
			continue
		}
		if at >= 0 {
			return b
		}
		at = i + len(shape) - len(dims)
	}
	if at < 1 || dims[at-len(shape)+len(dims)] != shape[at] || at != len(shape)-1 && (len(shape) < 3 || at != 1) || !im.trainable(b) {
		return b
	}
	return im.asWeight(b)
}

// asAttention is asWeight for what call c adds to the scores of an attention:
// its bias, unless it is a mask.
func (im *importing) asAttention(c *importer.Call, v value) value {
	if v.constant == nil || v.learned || !v.constant.Type.Float() || im.rank(v) < 2 || len(c.Outputs) == 0 {
		return v
	}
	next := c
	for range fewSteps {
		if len(next.Outputs) == 0 || im.readers[next.Outputs[0]] != 1 {
			return v
		}
		i, ok := im.reader[next.Outputs[0]]
		if !ok {
			return v
		}
		next = &im.Calls[i]
		switch next.Op {
		case "Softmax":
			if im.trainable(v) {
				v = im.asWeight(v)
			}
			return v
		case "Add", "Reshape", "Squeeze", "Unsqueeze", "Identity", "Cast":
		default:
			return v
		}
	}
	return v
}

// fewSteps bounds what is looked through for a form that is written out, so that
// the import of a long chain stays linear in its length.
const fewSteps = 16

// maskedBelow is what scores are lowered by where a mask hides them: Swin's by
// 100, most by 10,000 or more.
const maskedBelow = -50

// trainable reports whether v, a constant that is no layer's weight, can be
// learned: whether it is no mask, with an element that is not finite, or nothing
// but zeros and large negative numbers, or nothing but zeros and ones.
func (im *importing) trainable(v value) bool {
	masks, known := im.masks[v.name]
	if !known {
		masks = hides(v.constant, im.trainAll)
		im.masks[v.name] = masks
	}
	return !masks
}

// hides reports whether a tensor is a mask. With anyFinite only one that has an
// element that is not finite counts.
func hides(t *onnx.Tensor, anyFinite bool) bool {
	f, err := float32sOf(t)
	if err != nil {
		return true
	}
	var zeros, ones, hidden, other bool
	for _, x := range f {
		switch {
		case math.IsInf(float64(x), 0) || x != x:
			return true
		case x == 0:
			zeros = true
		case x == 1:
			ones = true
		case x <= maskedBelow:
			hidden = true
		default:
			other = true
		}
	}
	return !anyFinite && !other && (hidden && !ones || zeros && ones && !hidden)
}

// noteConstants says what the student computes with and does not learn.
func (p *program) noteConstants() {
	if len(p.kept) == 0 {
		return
	}
	const most = 4
	list, more := p.kept, ""
	if len(list) > most {
		list, more = list[:most-1], fmt.Sprintf(" and %d more", len(list)-most+1)
	}
	are, them := "constants are kept as they are", "them"
	if len(p.kept) == 1 {
		are, them = "constant is kept as it is", "it"
	}
	p.note("%d %s: %s%s; ImportOptions.TrainConstants trains %s", len(p.kept), are, strings.Join(list, ", "), more, them)
}
