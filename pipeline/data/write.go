package data

import (
	"bufio"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
)

// WriteFolder writes every sample of s as a PNG under dir, in
// <split>/<class>/<number>.png, which Open reads back with the same pixels,
// labels and splits; only a split that is empty is cut anew. dir must not exist, or be empty. The images are written beside dir
// and moved there when all are complete, so an interrupted run leaves no half of
// a data set under that name.
func WriteFolder(dir string, s *Set) (err error) {
	for _, class := range s.Classes {
		_, clutter := clutterKind(class)
		if !filepath.IsLocal(class) || filepath.Base(class) != class || clutter || printable(class) != "" {
			return fmt.Errorf("data: class %q cannot be the name of a folder", class)
		}
	}
	dir = filepath.Clean(dir)
	if err := os.MkdirAll(filepath.Dir(dir), 0o777); err != nil {
		return fmt.Errorf("data: %w", err)
	}
	if old, err := os.ReadDir(dir); err == nil && len(old) > 0 {
		return fmt.Errorf("data: %s is not empty; choose another folder", dir)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+"-")
	if err != nil {
		return fmt.Errorf("data: %w", err)
	}
	defer func() {
		if err != nil {
			os.RemoveAll(tmp)
		}
	}()
	if err := os.Chmod(tmp, 0o755); err != nil { // MkdirTemp makes it private
		return fmt.Errorf("data: %w", err)
	}
	pixels := make([]uint8, s.H*s.W*s.C)
	for _, split := range []*Split{s.Train, s.Val, s.Test} {
		for i := range split.Len() {
			if err := split.Read(i, pixels); err != nil {
				return err
			}
			folder := filepath.Join(tmp, split.Name(), s.Classes[split.Label(i)])
			if err := os.MkdirAll(folder, 0o777); err != nil {
				return fmt.Errorf("data: %w", err)
			}
			if err := writePNG(filepath.Join(folder, fmt.Sprintf("%06d.png", i)), pixels, s.H, s.W, s.C); err != nil {
				return fmt.Errorf("data: %w", err)
			}
		}
	}
	if err := os.Remove(dir); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("data: %w", err)
	}
	if err := os.Rename(tmp, dir); err != nil {
		return fmt.Errorf("data: %w", err)
	}
	return nil
}

// writePNG writes one [h, w, c] image.
func writePNG(name string, pixels []uint8, h, w, c int) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() {
		if e := f.Close(); err == nil {
			err = e
		}
	}()
	var m image.Image = &image.Gray{Pix: pixels, Stride: w, Rect: image.Rect(0, 0, w, h)}
	if c == 3 {
		rgba := image.NewNRGBA(image.Rect(0, 0, w, h))
		for i := range h * w {
			p := rgba.Pix[4*i : 4*i+4]
			copy(p, pixels[3*i:3*i+3])
			p[3] = 255
		}
		m = rgba
	}
	out := bufio.NewWriter(f)
	if err := png.Encode(out, m); err != nil {
		return err
	}
	return out.Flush()
}
