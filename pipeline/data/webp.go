package data

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"image/draw"

	"golang.org/x/image/webp"
)

var errWebP = errors.New("webp: invalid format")

// riffChunk takes the first chunk off the content of a RIFF container or of a
// chunk of chunks. ok is false where there is no whole one.
func riffChunk(b []byte) (id string, content, rest []byte, ok bool) {
	if len(b) < 8 {
		return "", nil, nil, false
	}
	n := uint64(binary.LittleEndian.Uint32(b[4:]))
	if n > uint64(len(b)-8) {
		return "", nil, nil, false
	}
	end := 8 + n
	return string(b[:4]), b[8:end], b[min(end+n%2, uint64(len(b))):], true
}

// webpAnimation returns the first frame chunk of an animated WebP, which
// golang.org/x/image does not read, or nil.
func webpAnimation(b []byte) (frame []byte) {
	if len(b) < 30 || string(b[:4]) != "RIFF" || string(b[8:16]) != "WEBPVP8X" || b[20]&2 == 0 {
		return nil
	}
	for rest := b[12:]; ; {
		id, content, next, ok := riffChunk(rest)
		if !ok {
			return nil
		}
		if id == "ANMF" {
			return content
		}
		rest = next
	}
}

// decodeWebPFrame decodes the first frame of an animation onto its canvas, which
// is transparent elsewhere ("WebP Container Specification", Google 2022,
// "Animation"). The canvas has passed inspectImage.
func decodeWebPFrame(file, frame []byte) (image.Image, error) {
	if len(frame) < 16 {
		return nil, errWebP
	}
	u24 := func(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }
	x, y, w, h := 2*u24(frame), 2*u24(frame[3:]), 1+u24(frame[6:]), 1+u24(frame[9:])
	canvas := image.Rect(0, 0, 1+u24(file[24:]), 1+u24(file[27:]))
	at := image.Rect(x, y, x+w, y+h)
	if !at.In(canvas) {
		return nil, errWebP
	}
	m, err := webp.Decode(bytes.NewReader(stillWebP(frame[16:], w, h)))
	if err != nil {
		return nil, err
	}
	if m.Bounds().Dx() != w || m.Bounds().Dy() != h {
		return nil, errWebP
	}
	if at == canvas {
		return m, nil
	}
	var s scratch
	out := image.NewRGBA(canvas)
	draw.Draw(out, canvas, image.NewUniform(color.White), image.Point{}, draw.Src)
	draw.Draw(out, at, flatten(m, "webp", &s), image.Point{}, draw.Src)
	return out, nil
}

// stillWebP makes a file of one image out of the chunks of a frame.
func stillWebP(chunks []byte, w, h int) []byte {
	flags := byte(0)
	if id, _, _, _ := riffChunk(chunks); id == "ALPH" {
		flags = 1 << 4
	}
	b := []byte("RIFF\x00\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00")
	b = append(b, flags, 0, 0, 0, byte(w-1), byte((w-1)>>8), byte((w-1)>>16), byte(h-1), byte((h-1)>>8), byte((h-1)>>16))
	b = append(b, chunks...)
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)-8))
	return b
}
