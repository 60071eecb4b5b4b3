package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"
)

// visible is the way of all text to a terminal. Files, folders and libraries bring
// names and messages of any bytes, and a terminal obeys some of them: it moves the
// cursor, changes its title, or shows a line backwards. Such characters are written
// as Go and JSON write them, \x1b and \u202e, which a JSON text reads as the same.
type visible struct{ to io.Writer }

// Write implements io.Writer. It keeps line breaks and tabs, which are the layout;
// oneLine takes them out of names.
func (v visible) Write(p []byte) (int, error) {
	if _, err := io.WriteString(v.to, escape(string(p), "\n\t")); err != nil {
		return 0, err
	}
	return len(p), nil
}

// oneLine is a name from a file, as it can stand in a table or within a line.
func oneLine(name string) string { return escape(name, "") }

// escape replaces what a terminal obeys, except the characters to keep, and bytes
// that are no UTF-8, which some terminals take for control characters.
func escape(s, keep string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case !isControl(r) || strings.ContainsRune(keep, r):
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < utf8.RuneSelf:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		i += n
	}
	return b.String()
}

// isControl reports whether a character does something rather than show something:
// the control characters of ASCII and Latin-1, those that turn the direction of
// writing (Unicode's Bidi_Control), and its line and paragraph separators.
func isControl(r rune) bool {
	switch {
	case r < ' ', 0x7f <= r && r <= 0x9f:
		return true
	case r == 0x061c, r == 0x200e, r == 0x200f, 0x2028 <= r && r <= 0x202e, 0x2066 <= r && r <= 0x2069:
		return true
	}
	return false
}

// underneath is the writer that a terminal's own commands are for, such as those
// that draw a bar.
func underneath(w io.Writer) io.Writer {
	if v, ok := w.(visible); ok {
		return v.to
	}
	return w
}

func isTerminal(w io.Writer) bool {
	f, ok := underneath(w).(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
