package safetensors

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"strings"
)

// checksumKey is where a sealed file's metadata has its checksum: the SHA-256, in
// hexadecimal, of the whole file with zeros in the checksum's place.
const checksumKey = "content_sha256"

// noChecksum stands in the checksum's place while it is computed.
var noChecksum = strings.Repeat("0", 2*sha256.Size)

func withChecksum(metadata map[string]string, sum string) map[string]string {
	with := maps.Clone(metadata)
	if with == nil {
		with = map[string]string{}
	}
	with[checksumKey] = sum
	return with
}

func checksum(f *File) (string, error) {
	if _, taken := f.Metadata[checksumKey]; taken {
		return "", fmt.Errorf("metadata key %q is reserved for the checksum", checksumKey)
	}
	h := sha256.New()
	if err := encodeAs(h, f, withChecksum(f.Metadata, noChecksum)); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// verify compares the checksum in the metadata, where there is one, with b, the
// whole file, and takes it out of the metadata.
func (f *File) verify(b []byte) error {
	want, sealed := f.Metadata[checksumKey]
	if !sealed {
		return nil
	}
	header := b[8 : 8+binary.LittleEndian.Uint64(b)] // which decode has read
	at := bytes.Index(header, []byte(`"`+checksumKey+`":"`+want+`"`))
	if at < 0 || len(want) != len(noChecksum) {
		return fmt.Errorf("its checksum is %q, want %d hexadecimal digits; the file is damaged", want, len(noChecksum))
	}
	at += 8 + len(`"`+checksumKey+`":"`)
	h := sha256.New()
	h.Write(b[:at])
	h.Write([]byte(noChecksum))
	h.Write(b[at+len(want):])
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		return fmt.Errorf("its content has the SHA-256 %s…, its metadata says %s…; the file is damaged", got[:12], want[:12])
	}
	delete(f.Metadata, checksumKey)
	f.Sealed = true
	return nil
}
