package pb

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Message is any of this package's messages.
type Message = proto.Message

// maxNesting bounds how deep messages may lie inside each other; a subgraph
// takes three levels. The default of protobuf's C++ readers is 100.
const maxNesting = 200

// Unmarshal reads a model. It copies what it needs of b.
func Unmarshal(b []byte) (*ModelProto, error) {
	m := new(ModelProto)
	return m, (proto.UnmarshalOptions{RecursionLimit: maxNesting}).Unmarshal(b, m)
}

// Size is the number of bytes Marshal would make.
func Size(m *ModelProto) int { return proto.Size(m) }

// Marshal writes a model; the same model gives the same bytes.
func Marshal(m *ModelProto) ([]byte, error) {
	return proto.MarshalOptions{Deterministic: true}.Marshal(m)
}

// Unknown returns the fields of a message that its schema does not name.
func Unknown(m Message) []byte { return m.ProtoReflect().GetUnknown() }

// SetUnknown gives a message fields that its schema does not name.
func SetUnknown(m Message, b []byte) {
	if len(b) > 0 {
		m.ProtoReflect().SetUnknown(b)
	}
}

// OtherType reports whether the unnamed fields of a TypeProto hold one of the
// kinds of type the schema reserves: all but the dense tensor.
func OtherType(unknown []byte) bool {
	for len(unknown) > 0 {
		num, _, n := protowire.ConsumeField(unknown)
		if n < 0 {
			return false
		}
		switch num {
		case 4, 5, 7, 8, 9: // sequence, map, opaque, sparse tensor, optional
			return true
		}
		unknown = unknown[n:]
	}
	return false
}
