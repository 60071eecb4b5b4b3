package kernel

// Describe says in a few words, for a person, which arithmetic computes in
// float32 on this processor.
func Describe() string {
	if fastest != nil {
		return "portable Go, matrix products in AVX2 assembly"
	}
	return "portable Go"
}
