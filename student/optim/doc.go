// Package optim holds the optimisers that train a student and the schedules
// that set their learning rate.
//
// SGD and AdamW implement gorgonia.Solver by PyTorch's rules, which golden
// values from PyTorch pin. Unlike Gorgonia's own solvers they know their
// parameters by name, leave gradients untouched, decay only the parameters that
// ask for it, clip by global norm, refuse a gradient that is not finite, and
// give their state away to be saved. A Step allocates nothing after the first.
//
// A Schedule is a pure function of the step's index, so a resumed run needs no
// state for it:
//
//	sgd.SetLR(schedule.LR(step, total))
//	err := sgd.Step(gradients)
//
// The package knows no student and no graph: it sees values and gradients. The
// pipeline imports it, and saves State beside the student's parameters.
package optim
