package pipeline

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/onnx/preprocess"
	"github.com/onnxdistill/onnxdistill/student"
	"github.com/onnxdistill/onnxdistill/student/vm"
	"github.com/onnxdistill/onnxdistill/teachers"
)

// IsFile reports whether the student's architecture is taken from an ONNX file
// and not from the zoo.
func (c StudentConfig) IsFile() bool {
	return strings.EqualFold(filepath.Ext(c.Architecture), ".onnx")
}

// KeptLearningRate is the learning rate that the command takes for weights that are
// kept, where nothing says another: a rate for fresh weights, such as Default's 0.2,
// destroys what they know in the first steps.
const KeptLearningRate = 0.001

// Keeps reports whether training starts from the file's weights.
func (c StudentConfig) keeps() bool { return c.IsFile() && c.Init != InitRandom }

// importStudent makes the student of the network in a file, and says what was
// made of it.
func (u *run) importStudent(ctx context.Context, spec student.Spec) error {
	c := &u.config.Student
	var err error
	if c.Architecture, err = filepath.Abs(c.Architecture); err != nil {
		return fmt.Errorf("pipeline: %w", err)
	}
	u.studentFile = c.Architecture
	if from := u.options.from; from != "" {
		u.studentFile = from.Architecture() // a run goes on with the file it was started with
		if _, err := os.Stat(u.studentFile); u.options.restart && errors.Is(err, fs.ErrNotExist) {
			u.studentFile = c.Architecture // of which it had made no copy yet
		}
	}
	if u.studentONNX, err = onnx.ReadFile(u.studentFile); err != nil {
		return err
	}
	encoded, err := u.studentONNX.Encode()
	if err != nil {
		return fmt.Errorf("pipeline: %s: %w", c.Architecture, err)
	}
	sum := sha256.Sum256(encoded)
	u.studentSHA = hex.EncodeToString(sum[:])
	init := student.Keep
	if c.Init == InitRandom {
		init = student.Random
	}
	shape, err := preprocess.ParseImageShape(c.ImageShape)
	if err != nil {
		return err
	}
	named := u.studentONNX.Clone()
	if named.Graph != nil { // whose own name is the exporter's
		named.Graph.Name = strings.TrimSuffix(filepath.Base(c.Architecture), filepath.Ext(c.Architecture))
	}
	if err := u.logProbabilities(named); err != nil {
		return fmt.Errorf("pipeline: %s: %w", c.Architecture, err)
	}
	o := student.ImportOptions{
		Init: init, Seed: u.config.Training.Seed, Classes: spec.Classes,
		ReplaceHead: c.ReplaceHead, UnfoldBatchNorm: c.UnfoldBatchNorm, TrainConstants: c.TrainConstants, Output: c.Output,
		Image: spec.Image, ImageShape: shape, Taps: c.Taps,
	}
	imported, err := student.ImportContext(ctx, named, o)
	if ctx.Err() != nil {
		return ErrInterrupted
	}
	if err != nil {
		if size := fixedImage(ctx, named, o); size != nil {
			err = size
		}
		return fmt.Errorf("pipeline: %s: %w", c.Architecture, err)
	}
	u.model = imported.Model
	for _, note := range imported.Notes {
		say(u.reporter, "import   %s", note)
	}
	return nil
}

// fixedImage returns an error that says what to do when a file cannot be imported
// for the data's images and can for those of a size of its own; else nil.
func fixedImage(ctx context.Context, m *onnx.Model, o student.ImportOptions) error {
	want := o.Image
	o.Image = student.Shape{}
	imported, err := student.ImportContext(ctx, m, o)
	if err != nil {
		return nil
	}
	switch got := imported.Model.Spec().Image; {
	case got.C != want.C:
		return fmt.Errorf("it takes images of %d channels, the data has %d; convert them with data.channels %d", got.C, want.C, got.C)
	case got.H == got.W:
		return fmt.Errorf("it takes images of %v, the data has %v; resize them with data.size %d", got, want, got.H)
	default:
		return fmt.Errorf("it takes images of %v, the data has %v; use images of that size", got, want)
	}
}

// importedPreprocess settles how the images of a student are normalised whose
// weights are kept: as its file says, else by the preset with which it
// classifies the validation images best. It is unknown where the file says
// nothing and its classes are not the data's.
func (u *run) importedPreprocess(ctx context.Context) (preprocess.Spec, error) {
	o := TeacherConfig{Output: u.config.Student.Output, ImageShape: u.config.Student.ImageShape}.session(u.data, u.config.Resources)
	o.Map = teachers.MapNone
	session, err := teachers.Open(u.studentFile, o)
	if err != nil {
		return preprocess.Spec{}, err
	}
	defer session.Close()
	if said := session.Spec().Preprocess; said.Known() {
		return said, nil
	}
	if session.Spec().Classes != len(u.data.Classes) {
		say(u.reporter, "import   %s does not say how its images are normalised; taken are the training set's mean and std (student.preprocess says it)", filepath.Base(u.studentFile))
		return preprocess.Spec{}, nil
	}
	spec, _, err := findPreprocess(ctx, session, "", "student.preprocess", &trialImages{split: u.data.Val}, u.reporter)
	return spec, err
}

// settleSamples is how many training images tell the statistics of unfolded
// normalisations: enough that a mean over them and their pixels is known to some
// hundredths of a deviation.
const settleSamples = 256

// settleNormalisations gives the batch normalisations of a student whose weights
// are kept the statistics of the training images, so that training, which takes
// those of its batches, begins with the function that is in the file.
func (u *run) settleNormalisations(ctx context.Context) error {
	const batch = 16
	images, err := takeEvenly(ctx, u.data.Train, settleSamples)
	if err != nil {
		return err
	}
	g, err := u.model.Graph(batch, student.Infer)
	if err != nil {
		return err
	}
	input, err := newImageInput(g.Image, u.normalizer)
	if err != nil {
		return err
	}
	list, err := g.Statistics()
	if err != nil || len(list) == 0 {
		return err
	}
	var outputs gorgonia.Nodes
	for _, s := range list {
		outputs = append(outputs, s.Node)
	}
	machine, err := vm.New(g.Expr, outputs)
	if err != nil {
		return err
	}
	defer machine.Close()
	// The mean and the mean square over all batches, in float64.
	sums := make([][]float64, len(list))
	for i, s := range list {
		sums[i] = make([]float64, 2*s.Channels())
	}
	size, runs := u.data.H*u.data.W*u.data.C, 0
	var pixels []uint8
	for _, b := range images.batches {
		pixels = append(pixels, b.Pixels...)
	}
	for ; len(pixels) >= batch*size || runs == 0; runs++ {
		for len(pixels) < batch*size { // of fewer images than one batch some count twice
			pixels = append(pixels, pixels...)
		}
		if err := input.set(pixels[:batch*size]); err != nil {
			return err
		}
		pixels = pixels[batch*size:]
		if err := machine.RunAll(); err != nil {
			return err
		}
		for i, s := range list {
			values, c := s.Node.Value().(*tensor.Dense).Float32s(), s.Channels()
			for k := range c {
				mean := float64(values[k])
				sums[i][k] += mean
				sums[i][c+k] += float64(values[c+k]) + mean*mean
			}
		}
	}
	for i, s := range list {
		c := s.Channels()
		for k := range c {
			mean := sums[i][k] / float64(runs)
			sums[i][k], sums[i][c+k] = mean, max(sums[i][c+k]/float64(runs)-mean*mean, 0)
		}
		if err := s.Settle(sums[i]); err != nil {
			return fmt.Errorf("pipeline: %s: %w", u.studentFile, err)
		}
	}
	say(u.reporter, "import   %d normalisations have the statistics of %d training images; the function is unchanged", len(list), runs*batch)
	return nil
}
