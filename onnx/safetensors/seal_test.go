package safetensors

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestASealedFileReadsAsItWasWritten(t *testing.T) {
	f := sample()
	f.Sealed = true
	got, err := Decode(encoded(t, f))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(f.Metadata, got.Metadata); d != "" || !got.Sealed {
		t.Errorf("sealed is %v, metadata (-want +got):\n%s", got.Sealed, d)
	}
	if !bytes.Equal(encoded(t, f), encoded(t, got)) {
		t.Error("writing it again gives other bytes")
	}
	plain, err := Decode(encoded(t, sample()))
	if err != nil || plain.Sealed {
		t.Errorf("a file without a checksum reads as sealed: %v, %v", plain.Sealed, err)
	}
}

// Of a sealed file no bit can change unnoticed: it is an error, or the checksum's
// own name is hit and the file reads as one without, with its content as it was.
func TestEveryFlippedBitIsNoticed(t *testing.T) {
	f := sample()
	f.Sealed = true
	b := encoded(t, f)
	unsealed := 0
	for i := range b {
		for bit := range 8 {
			b[i] ^= 1 << bit
			if got, err := Decode(b); err == nil {
				unsealed++
				same := !got.Sealed && len(got.Metadata) == len(f.Metadata)+1 && len(got.Tensors) == len(f.Tensors)
				for _, x := range f.Tensors {
					y, ok := got.Tensor(x.Name)
					same = same && ok && bytes.Equal(x.Data, y.Data)
				}
				if !same {
					t.Errorf("bit %d of byte %d flipped: reads as another file", bit, i)
				}
			}
			b[i] ^= 1 << bit
		}
	}
	if most := 8 * len(checksumKey); unsealed > most {
		t.Errorf("%d flips unnoticed, the checksum's name has %d bits", unsealed, most)
	}
}

func TestTheChecksumsKeyIsKept(t *testing.T) {
	f := sample()
	f.Sealed, f.Metadata[checksumKey] = true, "mine"
	if err := Encode(&bytes.Buffer{}, f); err == nil || !strings.Contains(err.Error(), "reserved for the checksum") {
		t.Errorf("got %v", err)
	}
}
