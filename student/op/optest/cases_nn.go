package optest

// nnCases are the cases of the network operators: convolution, dense, batch
// normalisation and pooling.
func nnCases() []Case { return nil }
