package pb

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Weight is what reading a file would take.
type Weight struct {
	Bytes   int64  // of the records alone, without what their strings and tensors hold
	Longest int    // bytes of the longest name
	Of      string // the message and field that hold it
}

// Weigh tells from a file's bytes what Unmarshal, and the model that is made of its
// result, take at least. It makes nothing of its own, and stops where the bytes are
// no model.
func Weigh(b []byte) Weight {
	var w Weight
	w.message((*ModelProto)(nil).ProtoReflect().Descriptor(), b, 0)
	return w
}

// About the bytes that a record takes in both forms, with what lists it: of a node, a
// value and the like, of smaller ones such as an axis, and of a string.
const (
	largeRecord = 512
	smallRecord = 192
	stringEntry = 32
)

var largeRecords = map[protoreflect.Name]bool{
	"NodeProto": true, "AttributeProto": true, "TensorProto": true, "ValueInfoProto": true, "GraphProto": true, "FunctionProto": true, "SparseTensorProto": true,
}

// proseFields hold texts, not names.
var proseFields = map[protoreflect.Name]bool{"doc_string": true, "value": true}

func (w *Weight) message(d protoreflect.MessageDescriptor, b []byte, depth int) {
	w.Bytes += smallRecord
	if largeRecords[d.Name()] {
		w.Bytes += largeRecord - smallRecord
	}
	for len(b) > 0 && depth < maxNesting {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return
		}
		b = b[n:]
		n = protowire.ConsumeFieldValue(number, kind, b)
		if n < 0 {
			return
		}
		if f := d.Fields().ByNumber(number); f != nil && kind == protowire.BytesType {
			content, _ := protowire.ConsumeBytes(b)
			switch f.Kind() {
			case protoreflect.MessageKind:
				w.message(f.Message(), content, depth+1)
			case protoreflect.StringKind, protoreflect.BytesKind:
				w.Bytes += stringEntry
				if len(content) > w.Longest && f.Kind() == protoreflect.StringKind && !proseFields[f.Name()] {
					w.Longest, w.Of = len(content), string(d.Name())+"."+string(f.Name())
				}
			}
		}
		b = b[n:]
	}
}
