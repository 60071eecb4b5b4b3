package kernel

// Describe says in a few words, for a person, which arithmetic computes in
// float32 on this processor.
func Describe() string {
	ours := "portable Go"
	if fastest != nil {
		ours = "portable Go, matrix products in AVX2 assembly"
	}
	if version, linked := OneDNN(); linked {
		return "oneDNN " + version + " for the convolutions it is faster at, else " + ours
	}
	return ours
}
