package student

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/onnxdistill/onnxdistill/student/importer"
)

// translator makes what one node of a file computes on the builder of a graph.
// It returns a value for each output, in order; outputs that the file leaves
// out may be missing at the end. Nodes in the operands' place are never nil:
// the builder's first error ends the translation, so a translator may go on
// with nil nodes after one of importing's methods has failed.
type translator func(im *importing, c *importer.Call) ([]value, error)

// translators has a row for each operator of the default domain that a file may
// hold besides those that constants alone are computed by. Attributes and
// operands are read in all forms of opsets 7 to 26.
var translators = map[string]translator{
	// Layers.
	"Conv":               importConv,
	"ConvTranspose":      importConvTranspose,
	"BatchNormalization": importBatchNormalization,
	"Gemm":               importGemm,
	"MatMul":             importMatMul,
	"MaxPool":            importMaxPool,
	"AveragePool":        importAveragePool,
	"GlobalAveragePool":  importGlobalAveragePool,
	"GlobalMaxPool":      importGlobalMaxPool,
	"Flatten":            importFlatten,

	// Functions of each element (import_elementwise.go).
	"Abs":             importAbs,
	"Add":             importAdd,
	"Cast":            importCast,
	"Celu":            importCelu,
	"Clip":            importClip,
	"Div":             importDiv,
	"Elu":             importElu,
	"Erf":             importErf,
	"Exp":             importExp,
	"Gelu":            importGelu,
	"HardSigmoid":     importHardSigmoid,
	"HardSwish":       importHardSwish,
	"LeakyRelu":       importLeakyRelu,
	"Log":             importLog,
	"Max":             importMax,
	"Mean":            importMean,
	"Min":             importMin,
	"Mish":            importMish,
	"Mul":             importMul,
	"Neg":             importNeg,
	"PRelu":           importPRelu,
	"Pow":             importPow,
	"Reciprocal":      importReciprocal,
	"Relu":            importRelu,
	"Selu":            importSelu,
	"Sigmoid":         importSigmoid,
	"Sign":            importSign,
	"Softplus":        importSoftplus,
	"Softsign":        importSoftsign,
	"Sqrt":            importSqrt,
	"Sub":             importSub,
	"Sum":             importSum,
	"Swish":           importSwish,
	"Tanh":            importTanh,
	"ThresholdedRelu": importThresholdedRelu,
	"And":             importAnd,
	"Equal":           importEqual,
	"Greater":         importGreater,
	"GreaterOrEqual":  importGreaterOrEqual,
	"Less":            importLess,
	"LessOrEqual":     importLessOrEqual,
	"Not":             importNot,
	"Or":              importOr,
	"Where":           importWhere,

	// What lays elements out otherwise (import_shape.go, import_resize.go).
	"Concat":       importConcat,
	"DepthToSpace": importDepthToSpace,
	"Expand":       importExpand,
	"Gather":       importGather,
	"Pad":          importPad,
	"Reshape":      importReshape,
	"Resize":       importResize,
	"Slice":        importSlice,
	"SpaceToDepth": importSpaceToDepth,
	"Split":        importSplit,
	"Squeeze":      importSqueeze,
	"Tile":         importTile,
	"Transpose":    importTranspose,
	"Unsqueeze":    importUnsqueeze,
	"Upsample":     importUpsample,

	// Reductions (import_reduce.go) and normalisations (import_norm.go).
	"ReduceL1":                  importReduceL1,
	"ReduceL2":                  importReduceL2,
	"ReduceLogSum":              importReduceLogSum,
	"ReduceLogSumExp":           importReduceLogSumExp,
	"ReduceMax":                 importReduceMax,
	"ReduceMean":                importReduceMean,
	"ReduceMin":                 importReduceMin,
	"ReduceProd":                importReduceProd,
	"ReduceSum":                 importReduceSum,
	"ReduceSumSquare":           importReduceSumSquare,
	"GroupNormalization":        importGroupNormalization,
	"InstanceNormalization":     importInstanceNormalization,
	"LRN":                       importLRN,
	"LayerNormalization":        importLayerNormalization,
	"LogSoftmax":                importLogSoftmax,
	"MeanVarianceNormalization": importMeanVarianceNormalization,
	"Softmax":                   importSoftmax,
	"RMSNormalization":          importRMSNormalization,
	// As ONNX Runtime calls it, which has it among the standard operators.
	"SimplifiedLayerNormalization": importRMSNormalization,

	"Attention": importAttention, // import_attention.go

	// What has no effect at inference, and shapes, which are known.
	"Identity": importIdentity,
	"Dropout":  importDropout,
	"Shape":    importShape,
	"Size":     importSize,
}

// supported lists the operators of the table, sorted.
func supported() string {
	return strings.Join(slices.Sorted(maps.Keys(translators)), ", ")
}

// UnsupportedError is returned when a file cannot be imported because of one of
// its nodes.
type UnsupportedError struct {
	Node   string // the node with its operator: `Einsum "scores"`
	Op     string // the operator alone
	Opset  int64  // of the file
	Reason string // what of the node is not supported; empty where the operator is not
	Err    error  // what Reason says, where another package says it; else nil
}

// Unwrap returns Err.
func (e *UnsupportedError) Unwrap() error { return e.Err }

// Is makes the error one that errors.Is takes for importer.ErrUnsupported.
func (e *UnsupportedError) Is(target error) bool { return target == importer.ErrUnsupported }

// Error implements error.
func (e *UnsupportedError) Error() string {
	if e.Reason != "" {
		return fmt.Sprintf("student: %s of opset %d cannot be imported: %s", e.Node, e.Opset, e.Reason)
	}
	return fmt.Sprintf("student: %s of opset %d cannot be imported; the operators that can are %s", e.Node, e.Opset, supported())
}
