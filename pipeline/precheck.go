package pipeline

import (
	"errors"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/onnx/preprocess"
	"github.com/onnxdistill/onnxdistill/teachers"
)

// checkModels looks at the models of a run before its images are read, and
// returns what compares the teacher's classes with the data's.
func (u *run) checkModels() (func(classes []string) error, error) {
	if c := u.config.Student; c.IsFile() && u.options.from == "" {
		if _, err := onnx.ReadFile(c.Architecture); err != nil {
			return nil, err
		}
	}
	if u.config.Teacher.Path == "" {
		return nil, nil
	}
	m, err := onnx.ReadFile(u.config.Teacher.Path)
	if err != nil {
		return nil, err
	}
	return precheck(u.config.Teacher, m, u.config.Data, u.config.Resources)
}

// precheck looks at a model before images are read, which may take minutes: it
// opens it as far as that is possible without knowing their size, and returns what
// compares its classes with the data's once those are known.
func precheck(c TeacherConfig, m *onnx.Model, d DataConfig, r ResourcesConfig) (func(classes []string) error, error) {
	if _, err := preprocess.Parse(c.Preprocess); err != nil {
		return nil, err
	}
	if _, err := preprocess.ParseImageShape(c.ImageShape); err != nil {
		return nil, err
	}
	o := c.openedAt([2]int{d.Size, d.Size}, d.Channels, r)
	o.Map = teachers.MapNone
	session, err := teachers.Open(c.Path, o)
	if errors.Is(err, teachers.ErrImageShape) {
		return nil, nil // the images may tell
	}
	if err != nil {
		if saysImageSize(m) || d.Size > 0 || c.Size > 0 {
			return nil, err
		}
		return nil, nil // the size was a guess; the images' own may do
	}
	session.Close() // its Spec and class order can still be asked for
	return func(classes []string) error {
		_, err := settleClasses(session, classes, Silent{})
		return err
	}, nil
}

// saysImageSize reports whether the model says how large its images are, or cannot
// take any.
func saysImageSize(m *onnx.Model) bool {
	for _, input := range m.Graph.Inputs {
		open := 0
		for i, d := range input.Shape {
			if i > 0 && d.Value <= 0 {
				open++
			}
		}
		if len(input.Shape) == 4 && open > 0 || input.Shape == nil {
			return false
		}
	}
	return true
}
