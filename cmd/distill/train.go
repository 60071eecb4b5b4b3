package main

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/onnxdistill/onnxdistill/onnx/preprocess"
	"github.com/onnxdistill/onnxdistill/pipeline"
)

func newTrainCommand() *cli.Command {
	return &cli.Command{
		Name:      "train",
		Usage:     "train a student on labelled images, with a teacher or alone",
		UsageText: "distill train --teacher FILE --data PATH [flags]",
		Description: `The images are a folder of class folders (with train/ and test/ or val/ where
there are such), a .tar, .tar.gz or .zip of the same, CIFAR-10 or CIFAR-100
binary batches, MNIST-style IDX files, or SVHN's train_32x32.mat.

The run folder gets config.yaml, metrics.jsonl, checkpoint.safetensors and at
the end student.onnx. Ctrl-C saves; --resume goes on. One process at a time may
use it. Without --out a second run goes into runs/student-2.

The teacher looks at each image once in each of its views; what it says is
recorded, and later epochs and later runs replay it. The plan says how much room
that takes and how much of it is there already; see distill signals.

Worked examples:
   # the teacher's logits and where it looks, into a small Wide ResNet
   distill train --teacher teacher.onnx --data images/ --student wrn-16-1 --out runs/first --epochs 30

   # the same student without a teacher, to see what the teacher was worth
   distill train --data images/ --student wrn-16-1 --out runs/alone --epochs 30

   # a quick look: 2,000 images, two epochs
   distill train --teacher teacher.onnx --data cifar10.tar.gz --out runs/look --limit 2000 --epochs 2

   # the run again, from its own record
   distill train --config runs/first/config.yaml --out runs/again

   # exactly the teacher's numbers, recorded on a larger disk
   distill train --teacher teacher.onnx --data images/ --out runs/exact --cache /big/signals --cache-precision float32

   # your own network, from the weights in its file, with a classifier for these classes
   distill train --teacher teacher.onnx --data images/ --student my_student.onnx --replace-head --out runs/mine

   # the same network from fresh weights
   distill train --teacher teacher.onnx --data images/ --student my_student.onnx --init random --out runs/fresh

   # after Ctrl-C, and where the images have moved since
   distill train --resume --out runs/first
   distill train --resume --out runs/first --data /mnt/images

   # begin again in the same folder
   distill train --teacher teacher.onnx --data images/ --out runs/first --lr 0.05 --overwrite`,
		Flags:  append(trainFlags(), runFlags()...),
		Action: train,
	}
}

// trainFlags are the flags of train; signals takes those that decide what is
// recorded.
func trainFlags() []cli.Flag {
	d := pipeline.Default()
	oneOf := func(set []string) string { return strings.Join(set, ", ") }
	return []cli.Flag{
		&cli.StringFlag{Name: "teacher", Usage: "frozen classifier, an ONNX `FILE`; without it the student learns from the labels alone"},
		&cli.StringFlag{Name: "data", Usage: "`PATH` of labelled images: folder, archive or data file"},
		&cli.StringFlag{Name: "student", Usage: "`ARCHITECTURE`: wrn-D-K with depth D = 6n+4 and any width K, resnet-D with D = 6n+2, or mobilenetv2-K, such as wrn-10-0.5, wrn-40-2, resnet-20, mobilenetv2-0.5; or an .onnx file, whose network is trained", Value: d.Student.Architecture},
		&cli.StringFlag{Name: "out", Usage: "run `FOLDER`, made if missing", Value: "runs/student"},
		&cli.StringFlag{Name: "config", Usage: "start from a config.yaml `FILE`; flags given as well win"},
		&cli.BoolFlag{Name: "resume", Usage: "go on with the run in --out; --data and --teacher say where they lie now"},

		&cli.IntFlag{Name: "epochs", Category: "Recipe", Value: d.Training.Epochs, Usage: "times every training image is seen"},
		&cli.IntFlag{Name: "batch", Category: "Recipe", Value: d.Training.Batch, Usage: "images per step"},
		&cli.Uint64Flag{Name: "seed", Category: "Recipe", Value: d.Training.Seed, Usage: "of everything random"},
		&cli.StringFlag{Name: "optimizer", Category: "Recipe", Value: d.Training.Optimizer, Usage: "`NAME`: " + oneOf(pipeline.Optimizers)},
		&cli.Float64Flag{Name: "lr", Category: "Recipe", Value: d.Training.LearningRate, DefaultText: fmt.Sprintf("%v; %v where a file's weights are kept", d.Training.LearningRate, pipeline.KeptLearningRate), Usage: "learning rate at its highest"},
		&cli.Float64Flag{Name: "momentum", Category: "Recipe", Value: d.Training.Momentum, Usage: "of sgd"},
		&cli.BoolFlag{Name: "nesterov", Category: "Recipe", Value: d.Training.Nesterov, Usage: "Nesterov momentum"},
		&cli.Float64Flag{Name: "weight-decay", Category: "Recipe", Value: d.Training.WeightDecay, Usage: "of the parameters that --decay names"},
		&cli.StringFlag{Name: "decay", Category: "Recipe", DefaultText: "all; weights where --student is a file", Usage: "`WHICH` parameters --weight-decay shrinks: " + oneOf(pipeline.Decays) + " (no biases, normalisations, slopes, gains or tokens)"},
		&cli.Float64Flag{Name: "clip-norm", Category: "Recipe", Value: d.Training.ClipNorm, Usage: "largest global gradient norm; 0 is off"},
		&cli.StringFlag{Name: "schedule", Category: "Recipe", Value: d.Training.Schedule, Usage: "of the learning rate, `NAME`: " + oneOf(pipeline.Schedules)},
		&cli.Float64Flag{Name: "warm-up", Category: "Recipe", Value: d.Training.WarmUp, Usage: "share of the steps in which the rate rises; 0 is none (one-cycle: 0.3)"},
		&cli.IntFlag{Name: "pad", Category: "Recipe", Value: d.Training.Augment.Pad, Usage: "random crops after padding by this many pixels; 0 is off"},
		&cli.StringFlag{Name: "pad-mode", Category: "Recipe", Value: d.Training.Augment.PadMode, Usage: "`NAME`: " + oneOf(pipeline.PadModes)},
		&cli.BoolFlag{Name: "flip", Category: "Recipe", Value: d.Training.Augment.Flip, Usage: "mirror half of the images; --flip=false for digits and text"},
		&cli.IntFlag{Name: "views", Category: "Recipe", Value: d.Training.Augment.Views, DefaultText: "8 with a teacher, else 0", Usage: "different crops and mirrorings of each image, which epochs show in turn; 0 draws anew in each epoch, and nothing is recorded"},

		&cli.Float64Flag{Name: "alpha", Category: "Objective", Value: d.Loss.Alpha, Usage: "share of KD against the labels' cross-entropy"},
		&cli.Float64Flag{Name: "temperature", Category: "Objective", Value: d.Loss.Temperature, Usage: "of KD"},
		&cli.Float64Flag{Name: "label-smoothing", Category: "Objective", Value: d.Loss.LabelSmoothing, Usage: "of the cross-entropy"},
		&cli.Float64Flag{Name: "beta", Category: "Objective", Value: d.Loss.Attention.Beta, Usage: "weight of attention transfer; 0 is off"},
		&cli.StringFlag{Name: "attention", Category: "Objective", Value: d.Loss.Attention.Form, Usage: "`FORM` of attention transfer: " + oneOf(pipeline.AttentionForms) + "; --beta is about 1000 for code, 0.1 for paper"},
		&cli.StringFlag{Name: "map", Category: "Objective", Value: d.Loss.Attention.Map, Usage: "attention `MAP`: " + oneOf(pipeline.AttentionMaps)},
		&cli.Float64Flag{Name: "power", Category: "Objective", Value: d.Loss.Attention.Power, Usage: "p of sum^p and max^p"},
		&cli.StringFlag{Name: "beta-decay", Category: "Objective", Value: d.Loss.Attention.Decay, Usage: "how --beta falls to zero over training, `NAME`: " + oneOf(pipeline.AttentionDecay)},

		&cli.Float64Flag{Name: "gradient-beta", Category: "Objective", Value: d.Loss.GradientBeta, Usage: "weight of gradient-based attention transfer, which compares how the cross-entropy changes with the image; 0 is off"},

		&cli.StringFlag{Name: "init", Category: "Student from a file", DefaultText: pipeline.InitKeep, Usage: "where its parameters start, `NAME`: " + oneOf(pipeline.Inits)},
		&cli.BoolFlag{Name: "replace-head", Category: "Student from a file", Usage: "put a new classifier in place of the file's, where the data has another number of classes"},
		&cli.BoolFlag{Name: "unfold-bn", Category: "Student from a file", Usage: "put batch normalisation after the convolutions that it was folded into"},
		&cli.StringFlag{Name: "student-output", Category: "Student from a file", Usage: "`NAME` of its output with the class scores, where there are several"},
		&cli.StringFlag{Name: "image-shape", Category: "Student from a file", Usage: imageShapeUsage("its", "the data's where it fits")},
		&cli.BoolFlag{Name: "train-constants", Category: "Student from a file", Usage: "also train the file's constants: what normalises its image, tables, grids"},

		&cli.StringSliceFlag{Name: "taps", Category: "Teacher and student", Usage: "`VALUES` of the teacher's graph to learn from; see distill inspect (default: suggested)"},
		&cli.StringSliceFlag{Name: "student-taps", Category: "Teacher and student", Usage: "the student's `TAPS`, in the order of --taps (default: paired by resolution)"},
		&cli.StringFlag{Name: "teacher-preprocess", Category: "Teacher and student", Usage: "`SPEC` of the teacher's input: " + preprocessUsage + " (default: its metadata, else auto)"},
		&cli.StringFlag{Name: "preprocess", Category: "Teacher and student", Value: d.Student.Preprocess, Usage: "`SPEC` of the student's input; auto is the training set's mean and std"},
		&cli.StringFlag{Name: "teacher-classes", Category: "Teacher and student", Usage: "the teacher's class for each class of the data, `NUMBERS` such as 0,2,1 (default: the same)"},

		&cli.IntFlag{Name: "teacher-size", Category: "Teacher and student", Usage: "height and width of the teacher's images; 0 is what the model fixes, else the data's"},
		&cli.StringFlag{Name: "teacher-layout", Category: "Teacher and student", Usage: "`AXES` of the teacher's input, NCHW or NHWC (default: by the graph)"},
		&cli.StringFlag{Name: "teacher-image-shape", Category: "Teacher and student", Usage: imageShapeUsage("the teacher's", "the data's where it fits")},
		&cli.StringFlag{Name: "teacher-output", Category: "Teacher and student", Usage: "`NAME` of the teacher's output with the class scores, where there are several"},

		&cli.IntFlag{Name: "size", Category: "Data", Value: d.Data.Size, Usage: "resize images to this height and width; 0 keeps their own"},
		&cli.IntFlag{Name: "channels", Category: "Data", Value: d.Data.Channels, Usage: "1 or 3; 0 keeps the images' own"},
		&cli.IntFlag{Name: "limit", Category: "Data", Value: d.Data.Limit, Usage: "use this many training images, stratified; 0 is all"},
		&cli.Float64Flag{Name: "validation", Category: "Data", Value: d.Data.Validation, Usage: "share of the training images that selects the student, where the data has no val/"},
		&cli.BoolFlag{Name: "skip-bad", Category: "Data", Usage: "count and leave out images that cannot be read"},
		&cli.BoolFlag{Name: "allow-empty", Category: "Data", Usage: "keep class folders without a readable image as classes; otherwise they are refused"},

		&cli.Int64Flag{Name: "opset", Category: "Export", Value: d.Export.Opset, Usage: "ONNX opset of student.onnx, 13 to 21"},
		&cli.Int64Flag{Name: "ir", Category: "Export", Value: d.Export.IR, DefaultText: "8, or what --opset needs", Usage: "ONNX IR version of student.onnx"},
		&cli.BoolFlag{Name: "fp16", Category: "Export", Usage: "keep the weights of student.onnx in half precision, which halves the file"},
		cacheFlag(),
		&cli.BoolFlag{Name: "no-cache", Category: "Recorded signals", Usage: "record nothing: the teacher looks at every image in every epoch"},
		&cli.StringFlag{Name: "cache-precision", Category: "Recorded signals", Usage: "`TYPE` of the signals the student learns from: " + oneOf(pipeline.Precisions) + ` (default: float16; float32 with --no-cache)`},
		threadsFlag(), onnxRuntimeFlag(),
	}
}

// runFlags are the flags of train that change what becomes of a run and not its
// student.
func runFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "overwrite", Usage: "begin anew in an --out that holds a run; removes only the files that a run writes"},
		&cli.BoolFlag{Name: "strict", Usage: "exit with 3 where the student has learned nothing: one class for all images, or no better than guessing"},
		&cli.DurationFlag{Name: "checkpoint-every", Category: "Resources", Value: pipeline.DefaultCheckpointEvery, Usage: "`TIME` between saves within an epoch; every epoch ends with one"},
		&cli.StringFlag{Name: "profile", Category: "Resources", Usage: "at the end write where the steps' time went to `FILE`, and to FILE.pb.gz for go tool pprof"},
		&cli.BoolFlag{Name: "verbose", Category: "Resources", Usage: "say how much memory training takes"},
	}
}

const preprocessUsage = "auto, unit, raw, imagenet, cifar10, or mean=...,std=...,scale=...,order=rgb|bgr"

// imageShapeUsage describes a flag for the shape of the images behind an input.
func imageShapeUsage(whose, otherwise string) string {
	return "`SHAPE` of the images in " + whose + " input, where that is a vector of pixels, such as [N,784]: " + preprocess.ImageShapeForm + " (default: its metadata, else " + otherwise + ")"
}

func threadsFlag() cli.Flag {
	return &cli.IntFlag{Name: "threads", Category: "Resources", Usage: "cores to use; 0 is all"}
}

func onnxRuntimeFlag() cli.Flag {
	return &cli.StringFlag{Name: "onnxruntime", Category: "Resources", Usage: "ONNX Runtime shared library, a `FILE` (default: $ONNXRUNTIME_LIB, else searched; see distill doctor)"}
}

func train(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	folder := pipeline.Folder(c.String("out"))
	report := newTerminal(c)
	options := pipeline.Options{
		Attention: asksForAttention(c),
		Reporter:  report, Version: programVersion(), Profile: c.String("profile"), Verbose: c.Bool("verbose"), Overwrite: c.Bool("overwrite"),
	}
	var final *pipeline.FinalMetrics
	var err error
	if c.Bool("resume") {
		if err := resumeOptions(c, &options); err != nil {
			return err
		}
		final, err = pipeline.Resume(c.Context, folder, options)
	} else {
		var config pipeline.Config
		if config, err = trainConfig(c, report); err != nil {
			return err
		}
		if !c.IsSet("out") && !options.Overwrite {
			if numbered := folder.Numbered(); numbered != folder {
				report.Say(fmt.Sprintf("run      %s is taken, so this run goes into %s; --out names another folder", folder, numbered))
				folder = numbered
			}
		}
		final, err = pipeline.Train(c.Context, config, folder, options)
	}
	if err != nil {
		return err
	}
	report.Say(fmt.Sprintf("student  %s  %d bytes, test accuracy %.2f %%", folder.Student(), final.Bytes, 100*final.TestTop1))
	if c.Bool("strict") && final.Doubt != "" {
		return doubtError{fmt.Errorf("the student has learned nothing: %s (--strict)", final.Doubt)}
	}
	return nil
}

// resumeOptions takes the flags that a run may be resumed with into o.
func resumeOptions(c *cli.Context, o *pipeline.Options) (err error) {
	if name := firstSet(c, "out", "resume", "data", "teacher", "threads", "onnxruntime", "cache", "no-cache", "checkpoint-every", "profile", "verbose", "strict"); name != "" {
		return usagef("--%s cannot change a run that is resumed; the run folder's config.yaml decides", name)
	}
	o.DataPath, o.TeacherPath = c.String("data"), c.String("teacher")
	o.Resources = pipeline.ResourcesConfig{Threads: c.Int("threads"), OnnxRuntime: c.String("onnxruntime")}
	if c.IsSet("checkpoint-every") {
		o.Resources.CheckpointEvery = c.Duration("checkpoint-every")
	}
	o.Resources.Cache, err = cacheFolder(c, pipeline.NoCache)
	return err
}

// asksForAttention reports whether attention transfer is meant, and not only not
// ruled out.
func asksForAttention(c *cli.Context) bool {
	return slices.ContainsFunc([]string{"beta", "taps", "student-taps", "attention", "map", "power", "beta-decay"}, c.IsSet)
}

// setThreads bounds the cores of the student's kernels, which count them when
// they start. More threads than processors would wait for one another.
func setThreads(n int) {
	if n > 0 {
		runtime.GOMAXPROCS(min(n, runtime.NumCPU()))
	}
}

// firstSet returns a flag that was given and is not among the allowed ones.
func firstSet(c *cli.Context, allowed ...string) string {
	for _, name := range c.LocalFlagNames() {
		ok := false
		for _, a := range allowed {
			ok = ok || a == name
		}
		if !ok {
			return name
		}
	}
	return ""
}

// trainConfig is the configuration the flags mean: the file's or the default,
// with every flag that was given put over it. Where neither says whether
// signals are recorded, they are, in the user's cache folder.
func trainConfig(c *cli.Context, report *terminal) (pipeline.Config, error) {
	config := pipeline.Default()
	if path := c.String("config"); path != "" {
		var err error
		if config, err = pipeline.ReadConfig(path); err != nil {
			return config, err
		}
	}
	var errs []error
	for _, s := range []struct {
		name string
		set  func() error
	}{
		{"teacher", func() error { config.Teacher.Path = c.String("teacher"); return nil }},
		{"taps", func() error { config.Teacher.Taps = c.StringSlice("taps"); return nil }},
		{"teacher-preprocess", func() error { config.Teacher.Preprocess = c.String("teacher-preprocess"); return nil }},
		{"teacher-classes", func() (err error) {
			config.Teacher.Classes, err = parseClasses("teacher-classes", c.String("teacher-classes"))
			return err
		}},
		{"teacher-size", func() error { config.Teacher.Size = c.Int("teacher-size"); return nil }},
		{"teacher-layout", func() error { config.Teacher.Layout = c.String("teacher-layout"); return nil }},
		{"teacher-image-shape", func() error { config.Teacher.ImageShape = c.String("teacher-image-shape"); return nil }},
		{"teacher-output", func() error { config.Teacher.Output = c.String("teacher-output"); return nil }},
		{"data", func() error { config.Data.Path = c.String("data"); return nil }},
		{"size", func() error { config.Data.Size = c.Int("size"); return nil }},
		{"channels", func() error { config.Data.Channels = c.Int("channels"); return nil }},
		{"limit", func() error { config.Data.Limit = c.Int("limit"); return nil }},
		{"validation", func() error { config.Data.Validation = c.Float64("validation"); return nil }},
		{"skip-bad", func() error { config.Data.SkipBad = c.Bool("skip-bad"); return nil }},
		{"allow-empty", func() error { config.Data.AllowEmpty = c.Bool("allow-empty"); return nil }},
		{"student", func() error { config.Student.Architecture = c.String("student"); return nil }},
		{"init", func() error { config.Student.Init = c.String("init"); return nil }},
		{"replace-head", func() error { config.Student.ReplaceHead = c.Bool("replace-head"); return nil }},
		{"unfold-bn", func() error { config.Student.UnfoldBatchNorm = c.Bool("unfold-bn"); return nil }},
		{"image-shape", func() error { config.Student.ImageShape = c.String("image-shape"); return nil }},
		{"student-output", func() error { config.Student.Output = c.String("student-output"); return nil }},
		{"train-constants", func() error { config.Student.TrainConstants = c.Bool("train-constants"); return nil }},
		{"student-taps", func() error { config.Student.Taps = c.StringSlice("student-taps"); return nil }},
		{"preprocess", func() error { config.Student.Preprocess = c.String("preprocess"); return nil }},
		{"alpha", func() error { config.Loss.Alpha = c.Float64("alpha"); return nil }},
		{"temperature", func() error { config.Loss.Temperature = c.Float64("temperature"); return nil }},
		{"label-smoothing", func() error { config.Loss.LabelSmoothing = c.Float64("label-smoothing"); return nil }},
		{"beta", func() error { config.Loss.Attention.Beta = c.Float64("beta"); return nil }},
		{"attention", func() error { config.Loss.Attention.Form = c.String("attention"); return nil }},
		{"map", func() error { config.Loss.Attention.Map = c.String("map"); return nil }},
		{"power", func() error { config.Loss.Attention.Power = c.Float64("power"); return nil }},
		{"gradient-beta", func() error { config.Loss.GradientBeta = c.Float64("gradient-beta"); return nil }},
		{"beta-decay", func() error { config.Loss.Attention.Decay = c.String("beta-decay"); return nil }},
		{"epochs", func() error { config.Training.Epochs = c.Int("epochs"); return nil }},
		{"batch", func() error { config.Training.Batch = c.Int("batch"); return nil }},
		{"seed", func() error { config.Training.Seed = c.Uint64("seed"); return nil }},
		{"optimizer", func() error { config.Training.Optimizer = c.String("optimizer"); return nil }},
		{"lr", func() error { config.Training.LearningRate = c.Float64("lr"); return nil }},
		{"momentum", func() error { config.Training.Momentum = c.Float64("momentum"); return nil }},
		{"nesterov", func() error { config.Training.Nesterov = c.Bool("nesterov"); return nil }},
		{"weight-decay", func() error { config.Training.WeightDecay = c.Float64("weight-decay"); return nil }},
		{"decay", func() error { config.Training.Decay = c.String("decay"); return nil }},
		{"clip-norm", func() error { config.Training.ClipNorm = c.Float64("clip-norm"); return nil }},
		{"schedule", func() error { config.Training.Schedule = c.String("schedule"); return nil }},
		{"warm-up", func() error { config.Training.WarmUp = c.Float64("warm-up"); return nil }},
		{"pad", func() error { config.Training.Augment.Pad = c.Int("pad"); return nil }},
		{"pad-mode", func() error { config.Training.Augment.PadMode = c.String("pad-mode"); return nil }},
		{"flip", func() error { config.Training.Augment.Flip = c.Bool("flip"); return nil }},
		{"views", func() error { config.Training.Augment.Views = c.Int("views"); return nil }},
		{"cache-precision", func() error { config.Teacher.Precision = c.String("cache-precision"); return nil }},
		{"opset", func() error { config.Export.SetOpset(c.Int64("opset")); return nil }},
		{"ir", func() error { config.Export.IR = c.Int64("ir"); return nil }},
		{"fp16", func() error { config.Export.FP16 = c.Bool("fp16"); return nil }},
		{"checkpoint-every", func() error { config.Resources.CheckpointEvery = c.Duration("checkpoint-every"); return nil }},
		{"threads", func() error { config.Resources.Threads = c.Int("threads"); return nil }},
		{"onnxruntime", func() error { config.Resources.OnnxRuntime = c.String("onnxruntime"); return nil }},
	} {
		if c.IsSet(s.name) {
			errs = append(errs, s.set())
		}
	}
	forStudentOfFile(c, &config, report)
	if folder, err := cacheFolder(c, pipeline.NoCache); err != nil {
		errs = append(errs, err)
	} else if folder != "" {
		config.Resources.Cache = folder
	}
	recordByDefault(&config, report)
	errs = append(errs, config.Validate())
	if err := errors.Join(errs...); err != nil {
		return config, usageError{err}
	}
	return config, nil
}

// forStudentOfFile sets what has another default for the network of a file than
// for fresh ones, where neither a flag nor a configuration says it.
func forStudentOfFile(c *cli.Context, config *pipeline.Config, report *terminal) {
	if config.Student.IsFile() && flagCalled(c.Command, "decay") != "" && !c.IsSet("config") && !c.IsSet("decay") {
		config.Training.Decay = pipeline.DecayWeights
		if config.Training.WeightDecay > 0 {
			report.Say("decay    of the layers' weights only, as the network is from a file; training.decay all shrinks all")
		}
	}
	if s := config.Student; s.IsFile() && s.Init != pipeline.InitRandom && flagCalled(c.Command, "lr") != "" && !c.IsSet("lr") && !c.IsSet("config") {
		config.Training.LearningRate = pipeline.KeptLearningRate
		report.Say(fmt.Sprintf("lr       %v at its highest, as the weights in %s are kept; training.learning_rate sets another", pipeline.KeptLearningRate, s.Architecture))
	}
}

// recordByDefault records the teacher's signals in the user's cache folder where
// nothing says otherwise.
func recordByDefault(config *pipeline.Config, report *terminal) {
	if config.Resources.Cache != "" || config.Teacher.Path == "" {
		return
	}
	folder, err := signalsFolder()
	if err != nil {
		report.Warn(err.Error() + "; the teacher's signals are not recorded")
		folder = pipeline.NoCache
	}
	config.Resources.Cache = folder
}

// parseClasses reads a class order such as 0,2,1.
func parseClasses(flag, text string) ([]int, error) {
	var classes []int
	for _, word := range strings.Split(text, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(word))
		if err != nil || n < 0 {
			return nil, fmt.Errorf("--%s is a list of class numbers from 0, such as 0,2,1; got %q", flag, text)
		}
		classes = append(classes, n)
	}
	return classes, nil
}
