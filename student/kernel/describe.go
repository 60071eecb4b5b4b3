package kernel

// Describe says in a few words, for a person, which arithmetic computes in
// float32 on this processor.
func Describe() string {
	ours := "plain Go"
	if fastest != nil {
		ours = "Go with AVX2 assembly"
	}
	if version, linked := OneDNN(); linked {
		return ours + ", and oneDNN " + version + " for the convolutions it is faster at"
	}
	return ours
}
