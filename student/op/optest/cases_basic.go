package optest

// basicCases are the cases of the elementary operators: elementwise, reduction,
// shape, softmax and attention.
func basicCases() []Case { return nil }
