package student

// Cost returns the size of the model: trainable parameters, and the
// multiply-accumulate operations of one image through its convolutions and
// dense layers. Biases, normalisation, activations and pooling are not counted
// as operations, and running statistics not as parameters, which is how
// published sizes are meant.
func (m *Model) Cost() (params, macs int64, err error) {
	for _, p := range m.params {
		if p.Trainable {
			params += int64(p.Len())
		}
	}
	g, err := m.Graph(1, Infer)
	if err != nil {
		return 0, 0, err
	}
	for _, n := range g.needed() {
		if l := g.layers[n]; l.kind == convolution || l.kind == dense {
			// Each output element takes one operation per weight of its channel.
			w := g.operands(n)[1].Shape()
			macs += int64(n.Shape().TotalSize()) * int64(w.TotalSize()/w[0])
		}
	}
	return params, macs, nil
}
