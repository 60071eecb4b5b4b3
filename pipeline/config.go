package pipeline

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/onnxdistill/onnxdistill/onnx"
	"github.com/onnxdistill/onnxdistill/onnx/preprocess"
	"github.com/onnxdistill/onnxdistill/pipeline/data"
	"github.com/onnxdistill/onnxdistill/pipeline/loss"
	"github.com/onnxdistill/onnxdistill/student/zoo"
)

// Config is all that decides a training run. The resolved copy is saved in the
// run folder as config.yaml and can be given back with --config. Default gives
// the values that Validate and the command line start from.
type Config struct {
	Teacher   TeacherConfig   `yaml:"teacher"`
	Data      DataConfig      `yaml:"data"`
	Student   StudentConfig   `yaml:"student"`
	Loss      LossConfig      `yaml:"loss"`
	Training  TrainingConfig  `yaml:"training"`
	Export    ExportConfig    `yaml:"export"`
	Resources ResourcesConfig `yaml:"resources"`
}

// TeacherConfig says which frozen model is imitated and how it is fed.
type TeacherConfig struct {
	Path       string   `yaml:"path"`       // the .onnx file; empty trains the student alone, on the labels
	Taps       []string `yaml:"taps"`       // values of the teacher's graph; empty takes the suggested ones
	Preprocess string   `yaml:"preprocess"` // preprocess.Parse; empty is what the file's metadata says, else auto
	Classes    []int    `yaml:"classes"`    // teacher's class for each class of the data; empty is the same order
	Size       int      `yaml:"size"`       // height and width the teacher's images are resized to; 0 is what the model fixes, else the data's
	Layout     string   `yaml:"layout"`     // NCHW or NHWC, where the model leaves it open; empty decides by the graph
	Output     string   `yaml:"output"`     // the output with the class scores; empty takes the only one

	// ImageShape, as preprocess.ParseImageShape reads it, says what images an input
	// of fewer than four axes holds; empty is what the file's metadata says, else
	// the data's where the input takes as many numbers.
	ImageShape string `yaml:"image_shape,omitempty"`

	// Precision is that of the signals the student learns from, whether they are
	// recorded or not: float16 or float32. Empty is float16 where they are
	// recorded, see ResourcesConfig.Cache, and float32 where not.
	Precision string `yaml:"precision"`
}

// DataConfig says where the labelled images are and how they are split.
type DataConfig struct {
	Path       string  `yaml:"path"`
	Size       int     `yaml:"size"`       // height and width to resize to; 0 keeps the images' own
	Channels   int     `yaml:"channels"`   // 1 or 3; 0 keeps the images' own
	Validation float64 `yaml:"validation"` // share of the training set that selects the student, when the data has no own validation set
	Limit      int     `yaml:"limit"`      // training samples to use, stratified; 0 is all
	SkipBad    bool    `yaml:"skip_bad"`   // count and leave out images that cannot be read

	// AllowEmpty keeps class folders without a readable image as classes; without
	// it they are refused.
	AllowEmpty bool `yaml:"allow_empty,omitempty"`
}

// StudentConfig says which network is trained.
type StudentConfig struct {
	Architecture string   `yaml:"architecture"` // zoo.Parse, or the path of an .onnx file whose network is trained
	Taps         []string `yaml:"taps"`         // the student's side of the tap pairs, in the teacher's order; empty pairs by resolution
	Preprocess   string   `yaml:"preprocess"`   // preprocess.Parse; auto is the mean and std of the training set, with a file's weights kept what they were trained with

	// Of a network from a file only.
	Init            string `yaml:"init,omitempty"`              // keep or random: where its parameters start; empty is keep
	ReplaceHead     bool   `yaml:"replace_head,omitempty"`      // a new classifier where the file's has another number of classes
	UnfoldBatchNorm bool   `yaml:"unfold_batch_norm,omitempty"` // batch normalisation again behind convolutions it was folded into
	Output          string `yaml:"output,omitempty"`            // which output holds the class scores; empty takes the one that can
	ImageShape      string `yaml:"image_shape,omitempty"`       // as TeacherConfig.ImageShape
	TrainConstants  bool   `yaml:"train_constants,omitempty"`   // what else of real numbers the file computes with: what normalises its image, tables, grids
}

// InitKeep and InitRandom are what StudentConfig.Init can be.
const (
	InitKeep   = "keep"
	InitRandom = "random"
)

// DecayAll and DecayWeights are what TrainingConfig.Decay can be. The recipe of
// Zagoruyko and Komodakis shrinks all parameters, as PyTorch's optimisers do
// unless they are told otherwise. Those of transformers, of timm's and of most
// fine-tuning leave out what is no layer's matrix or kernel: biases, scales and
// shifts of normalisations, slopes, gains, class tokens, position embeddings.
const (
	DecayAll     = "all"
	DecayWeights = "weights"
)

// LossConfig weighs the objective: (1-Alpha)·CE + Alpha·KD + Attention.Beta·Σ AT
// + GradientBeta·½‖J_S − J_T‖.
type LossConfig struct {
	Alpha          float64         `yaml:"alpha"`           // share of KD in the classification loss, 0 to 1
	Temperature    float64         `yaml:"temperature"`     // softens both softmaxes in KD
	LabelSmoothing float64         `yaml:"label_smoothing"` // of CE, 0 to below 1
	Attention      AttentionConfig `yaml:"attention"`

	// GradientBeta weighs gradient-based attention transfer, see loss.Gradient;
	// 0 is off. Its teacher must be a network that can be differentiated.
	GradientBeta float64 `yaml:"gradient_beta,omitempty"`
}

// AttentionConfig weighs and shapes attention transfer.
type AttentionConfig struct {
	Form  string  `yaml:"form"`  // code or paper, see loss.Attention
	Map   string  `yaml:"map"`   // sum, sum^p or max^p
	Power float64 `yaml:"power"` // p
	Beta  float64 `yaml:"beta"`  // 0 is off; in the order of 1000 for code, 0.1 for paper
	Decay string  `yaml:"decay"` // none, linear or cosine: how Beta falls to zero over training
}

// TrainingConfig is the recipe.
type TrainingConfig struct {
	Epochs       int           `yaml:"epochs"`
	Batch        int           `yaml:"batch"`
	Seed         uint64        `yaml:"seed"`
	Optimizer    string        `yaml:"optimizer"` // sgd or adamw
	LearningRate float64       `yaml:"learning_rate"`
	Momentum     float64       `yaml:"momentum"` // sgd's; adamw's first beta is 0.9
	Nesterov     bool          `yaml:"nesterov"`
	WeightDecay  float64       `yaml:"weight_decay"`
	Decay        string        `yaml:"decay,omitempty"` // all or weights: which parameters WeightDecay shrinks; empty is all
	ClipNorm     float64       `yaml:"clip_norm"`       // largest global gradient norm; 0 is off
	Schedule     string        `yaml:"schedule"`        // constant, step, cosine or one-cycle
	WarmUp       float64       `yaml:"warm_up"`         // share of all steps in which the rate rises linearly
	Augment      AugmentConfig `yaml:"augment"`
}

// AugmentConfig says how training images vary.
type AugmentConfig struct {
	Pad     int    `yaml:"pad"`      // pixels added on each side before a random crop; 0 is off
	PadMode string `yaml:"pad_mode"` // reflect or zero
	Flip    bool   `yaml:"flip"`     // mirror half of the images; wrong for digits and text

	// Views is the number of different augmentations of each image, drawn from
	// the seed; epoch e shows view e modulo Views. 0 draws anew in each epoch.
	// ChooseViews is 8 with a teacher, whose signals can then be recorded, 0
	// without, and 1 where images do not vary.
	Views int `yaml:"views"`
}

// ChooseViews leaves AugmentConfig.Views open, and defaultViews is what it then
// is with a teacher.
const (
	ChooseViews  = -1
	defaultViews = 8
)

// ExportConfig shapes student.onnx.
type ExportConfig struct {
	Opset int64 `yaml:"opset"`          // 13 to 21
	IR    int64 `yaml:"ir"`             // ONNX IR version, at least what the opset needs: 7, 8 from opset 15 on, 9 from 19 and 10 from 21
	FP16  bool  `yaml:"fp16,omitempty"` // weights in half precision: half the file, the same inputs and outputs
}

// SetOpset chooses the opset and, where it needs a later IR version than the
// one there is, that.
func (e *ExportConfig) SetOpset(opset int64) {
	e.Opset, e.IR = opset, max(e.IR, onnx.MinIR(opset))
}

// ResourcesConfig bounds what a run takes. It does not change the student,
// except through TeacherConfig.Precision where that is left open.
type ResourcesConfig struct {
	// Cache is the folder in which the teacher's signals are recorded, to be
	// replayed in later epochs and runs: some 2 bytes for each number of the
	// logits and maps, image and view. NoCache, or empty, records nothing.
	Cache string `yaml:"cache"`

	Threads     int    `yaml:"threads"`     // 0 is all cores, which is also the most
	OnnxRuntime string `yaml:"onnxruntime"` // path of the shared library; empty searches

	// CheckpointEvery is after what time a run is saved within an epoch, besides at
	// each epoch's end. 0 is DefaultCheckpointEvery.
	CheckpointEvery time.Duration `yaml:"checkpoint_every,omitempty"`
}

// DefaultCheckpointEvery is how much work a killed run loses at most, unless its
// configuration says otherwise.
const DefaultCheckpointEvery = 10 * time.Minute

func (r ResourcesConfig) checkpointEvery() time.Duration {
	return cmp.Or(r.CheckpointEvery, DefaultCheckpointEvery)
}

// NoCache is the ResourcesConfig.Cache that says that nothing is recorded.
const NoCache = "none"

// caches reports whether signals are to be recorded.
func (r ResourcesConfig) caches() bool { return r.Cache != "" && r.Cache != NoCache }

// The sets behind the choices in Config.
var (
	AttentionForms = []string{"code", "paper"}
	AttentionMaps  = []string{"sum", "sum^p", "max^p"}
	AttentionDecay = []string{"none", "linear", "cosine"}
	Optimizers     = []string{"sgd", "adamw"}
	Schedules      = []string{"constant", "step", "cosine", "one-cycle"}
	PadModes       = []string{"reflect", "zero"}
	Layouts        = []string{"NCHW", "NHWC"}
	Precisions     = []string{"float16", "float32"}
	Inits          = []string{InitKeep, InitRandom}
	Decays         = []string{DecayAll, DecayWeights}
)

// Default returns the recipe of Zagoruyko & Komodakis (2017) for CIFAR-10 with
// the one-cycle schedule, which suits the short runs people make.
func Default() Config {
	return Config{
		Data:    DataConfig{Validation: 0.1},
		Student: StudentConfig{Architecture: "wrn-16-1", Preprocess: "auto"},
		Loss: LossConfig{
			Alpha: 0.9, Temperature: 4,
			Attention: AttentionConfig{Form: "code", Map: "sum^p", Power: 2, Beta: 1000, Decay: "none"},
		},
		Training: TrainingConfig{
			Epochs: 30, Batch: 128, Seed: 1,
			Optimizer: "sgd", LearningRate: 0.2, Momentum: 0.9, Nesterov: true, WeightDecay: 5e-4,
			Schedule: "one-cycle",
			Augment:  AugmentConfig{Pad: 4, PadMode: "reflect", Flip: true, Views: ChooseViews},
		},
		Export: ExportConfig{Opset: 17, IR: 8},
	}
}

// Validate checks every field by itself; it opens no file. All faults are
// reported, not only the first.
func (c Config) Validate() error {
	var errs []error
	bad := func(field, rule string, got any) {
		errs = append(errs, fmt.Errorf("config: %s %s, got %v", field, rule, got))
	}
	oneOf := func(field, got string, set []string) {
		if !slices.Contains(set, got) {
			bad(field, "is one of "+strings.Join(set, ", "), fmt.Sprintf("%q", got))
		}
	}
	number := func(field string, v, low, high float64, rule string) {
		if math.IsNaN(v) || v < low || v > high {
			bad(field, rule, v)
		}
	}
	positive := math.SmallestNonzeroFloat64
	huge := math.MaxFloat64

	if c.Data.Path == "" {
		errs = append(errs, errors.New("config: data.path is empty; name a folder, archive or data file with --data"))
	}
	if c.Teacher.Preprocess != "" {
		if _, err := preprocess.Parse(c.Teacher.Preprocess); err != nil {
			errs = append(errs, fmt.Errorf("config: teacher.preprocess: %w", err))
		}
	}
	if c.Teacher.Layout != "" {
		oneOf("teacher.layout", c.Teacher.Layout, Layouts)
	}
	if c.Teacher.Precision != "" {
		oneOf("teacher.precision", c.Teacher.Precision, Precisions)
	}
	for _, f := range []struct{ name, text string }{{"teacher.image_shape", c.Teacher.ImageShape}, {"student.image_shape", c.Student.ImageShape}} {
		if _, err := preprocess.ParseImageShape(f.text); err != nil {
			errs = append(errs, fmt.Errorf("config: %s: %w", f.name, err))
		}
	}
	number("teacher.size", float64(c.Teacher.Size), 0, 4096, "is a number of pixels up to 4096, or 0 for the model's own")
	if _, err := preprocess.Parse(c.Student.Preprocess); err != nil {
		errs = append(errs, fmt.Errorf("config: student.preprocess: %w", err))
	}
	if c.Student.Init != "" {
		oneOf("student.init", c.Student.Init, Inits)
	}
	if s := c.Student; !s.IsFile() {
		if _, err := zoo.Parse(s.Architecture); err != nil {
			errs = append(errs, fmt.Errorf("config: student.architecture: %w; a path that ends in .onnx takes the network of that file", err))
		}
		if s.Init != "" || s.ReplaceHead || s.UnfoldBatchNorm || s.TrainConstants || s.Output != "" || s.ImageShape != "" {
			bad("student.architecture", "is an .onnx file where init (--init), replace_head (--replace-head), unfold_batch_norm (--unfold-bn), train_constants (--train-constants), output (--student-output) or image_shape (--image-shape) is set", fmt.Sprintf("%q", s.Architecture))
		}
	}
	if n := len(c.Student.Taps); n > 0 && len(c.Teacher.Taps) > 0 && n != len(c.Teacher.Taps) {
		bad("student.taps", fmt.Sprintf("pairs one by one with the %d teacher.taps", len(c.Teacher.Taps)), n)
	}
	number("data.size", float64(c.Data.Size), 0, 4096, "is a number of pixels up to 4096, or 0 for the images' own")
	if !slices.Contains([]int{0, 1, 3}, c.Data.Channels) {
		bad("data.channels", "is 1, 3 or 0 for the images' own", c.Data.Channels)
	}
	number("data.validation", c.Data.Validation, positive, 0.9, "is a share above 0 and up to 0.9")
	number("data.limit", float64(c.Data.Limit), 0, huge, "is a number of samples, or 0 for all")
	number("loss.alpha", c.Loss.Alpha, 0, 1, "lies between 0 and 1")
	number("loss.temperature", c.Loss.Temperature, positive, huge, "is above 0")
	number("loss.label_smoothing", c.Loss.LabelSmoothing, 0, 1-1e-9, "lies between 0 and below 1")
	oneOf("loss.attention.form", c.Loss.Attention.Form, AttentionForms)
	oneOf("loss.attention.map", c.Loss.Attention.Map, AttentionMaps)
	oneOf("loss.attention.decay", c.Loss.Attention.Decay, AttentionDecay)
	number("loss.attention.power", c.Loss.Attention.Power, 1, 8, "lies between 1 and 8")
	number("loss.attention.beta", c.Loss.Attention.Beta, 0, huge, "is 0 (off) or above")
	number("loss.gradient_beta", c.Loss.GradientBeta, 0, huge, "is 0 (off) or above")
	if c.Loss.GradientBeta > 0 && c.Teacher.Path == "" {
		bad("loss.gradient_beta", "compares with a teacher, and none is named (--teacher)", c.Loss.GradientBeta)
	}
	number("training.epochs", float64(c.Training.Epochs), 1, huge, "is at least 1")
	number("training.batch", float64(c.Training.Batch), 1, 1<<16, "lies between 1 and 65536")
	oneOf("training.optimizer", c.Training.Optimizer, Optimizers)
	oneOf("training.schedule", c.Training.Schedule, Schedules)
	number("training.learning_rate", c.Training.LearningRate, positive, huge, "is above 0")
	number("training.momentum", c.Training.Momentum, 0, 1-1e-9, "lies between 0 and below 1")
	if c.Training.Decay != "" {
		oneOf("training.decay", c.Training.Decay, Decays)
	}
	number("training.weight_decay", c.Training.WeightDecay, 0, huge, "is 0 (off) or above")
	number("training.clip_norm", c.Training.ClipNorm, 0, huge, "is 0 (off) or above")
	number("training.warm_up", c.Training.WarmUp, 0, 0.9, "is a share between 0 and 0.9")
	number("training.augment.pad", float64(c.Training.Augment.Pad), 0, 256, "lies between 0 (off) and 256")
	oneOf("training.augment.pad_mode", c.Training.Augment.PadMode, PadModes)
	number("training.augment.views", float64(c.Training.Augment.Views), ChooseViews, 1<<16, "is a number of views up to 65536, 0 for a new one in each epoch, or -1 to leave it open")
	number("export.opset", float64(c.Export.Opset), 13, 21, "lies between 13 and 21")
	number("export.ir", float64(c.Export.IR), 7, 10, "lies between 7 and 10")
	if least := onnx.MinIR(c.Export.Opset); c.Export.Opset <= 21 && c.Export.IR < least {
		bad("export.ir", fmt.Sprintf("is at least %d for opset %d", least, c.Export.Opset), c.Export.IR)
	}
	number("resources.threads", float64(c.Resources.Threads), 0, 4096, "is 0 (all cores) or above")
	if every := c.Resources.CheckpointEvery; every != 0 && every < time.Second {
		bad("resources.checkpoint_every", "is at least a second, such as 10m, or 0 for that", every)
	}
	return errors.Join(errs...)
}

func (a AugmentConfig) augment() data.Augment {
	return data.Augment{Pad: a.Pad, PadMode: data.PadMode(a.PadMode), Flip: a.Flip}
}

// resolveViews settles AugmentConfig.Views.
func (c *Config) resolveViews() {
	a := &c.Training.Augment
	switch {
	case a.Views != ChooseViews:
	case !a.augment().Enabled():
		a.Views = 1
	case c.Teacher.Path == "":
		a.Views = 0
	default:
		a.Views = defaultViews
	}
}

func (a AttentionConfig) attention() loss.AttentionConfig {
	return loss.AttentionConfig{Form: loss.Form(a.Form), Map: loss.MapKind(a.Map), Power: a.Power}
}
