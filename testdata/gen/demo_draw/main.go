// Command demo_draw writes a drawn set of digits to a file, for training the
// demo's teacher in demo_teacher.py, or as a contact sheet to look at.
//
//	go run ./testdata/gen/demo_draw -seed 7 -n 25000 -out train.bin
//	go run ./testdata/gen/demo_draw -seed 1 -n 200 -sheet sheet.png
//
// The file holds n records of 1 + 3072 bytes: the label, then the pixels
// [32, 32, 3], RGB.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"log"
	"os"

	"github.com/onnxdistill/onnxdistill/pipeline/digits"
)

func main() {
	seed := flag.Uint64("seed", 1, "seed of the set")
	n := flag.Int("n", 1000, "number of images")
	out := flag.String("out", "", "file to write records to")
	sheet := flag.String("sheet", "", "PNG to write a contact sheet to, 20 images a row")
	zoom := flag.Int("zoom", 2, "pixels of the sheet per pixel of an image")
	flag.Parse()
	log.SetFlags(0)
	if *out == "" && *sheet == "" {
		log.Fatal("demo_draw: nothing to write; give -out FILE or -sheet FILE.png")
	}
	if *out != "" {
		if err := write(*out, *seed, *n); err != nil {
			log.Fatal("demo_draw: ", err)
		}
	}
	if *sheet != "" {
		if err := draw(*sheet, *seed, *n, *zoom); err != nil {
			log.Fatal("demo_draw: ", err)
		}
	}
}

func write(path string, seed uint64, n int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	set := digits.Set(seed, n)
	for i, label := range set.Labels {
		w.WriteByte(uint8(label)) // a bufio.Writer keeps its first error for Flush
		w.Write(set.Image(i))
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return f.Close()
}

func draw(path string, seed uint64, n, zoom int) error {
	const columns = 20
	const cell = digits.Size + 1
	rows := (n + columns - 1) / columns
	sheet := image.NewRGBA(image.Rect(0, 0, columns*cell*zoom, rows*cell*zoom))
	set := digits.Set(seed, n)
	for i := range set.Len() {
		pixels := set.Image(i)
		left, top := i%columns*cell, i/columns*cell
		for y := range digits.Size * zoom {
			for x := range digits.Size * zoom {
				at := (y/zoom*digits.Size + x/zoom) * digits.Channels
				sheet.SetRGBA(left*zoom+x, top*zoom+y, color.RGBA{pixels[at], pixels[at+1], pixels[at+2], 255})
			}
		}
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := png.Encode(f, sheet); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return f.Close()
}
