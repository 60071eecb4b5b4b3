package teachers

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/onnxdistill/onnxdistill/onnx"
)

// classNameKeys are the metadata keys under which files name their classes, in
// the order in which they are believed: our own export's, Ultralytics',
// Transformers', fastai's, and what people write by hand.
var classNameKeys = []string{"classes", "names", "id2label", "vocab", "class_names", "classnames", "labels", "class_labels", "label_names", "categories"}

// ClassNames returns the names that a model's metadata gives to its classes, in
// the order of its scores, and the key it has them under. It reads a list or a
// numbered map, in JSON or as Python prints it, and names separated by commas
// or lines. It returns nil where there is no such list; what cannot be read is
// another program's, under a key of the same name.
func ClassNames(m *onnx.Model) (names []string, key string) {
	for _, want := range classNameKeys {
		for _, kv := range m.Metadata {
			if !strings.EqualFold(kv.Key, want) {
				continue
			}
			if names := parseNames(kv.Value); len(names) > 1 {
				return names, kv.Key
			}
		}
	}
	return nil, ""
}

func parseNames(text string) []string {
	text = strings.TrimSpace(text)
	if text == "" {
		return nil
	}
	if text[0] != '[' && text[0] != '{' && text[0] != '(' {
		return separatedNames(text)
	}
	var list []string
	if json.Unmarshal([]byte(text), &list) == nil {
		return list
	}
	var numbered map[string]string
	if json.Unmarshal([]byte(text), &numbered) == nil {
		return inOrderOfNumbers(numbered)
	}
	return pythonNames(text)
}

// separatedNames splits at line ends or, in a text of one line, at commas.
func separatedNames(text string) []string {
	separator := ","
	if strings.Contains(text, "\n") {
		separator = "\n"
	}
	names := strings.Split(text, separator)
	for i, n := range names {
		names[i] = strings.TrimSpace(n)
	}
	if slices.Contains(names, "") {
		return nil
	}
	return names
}

// inOrderOfNumbers returns the values of a map from 0, 1, 2, ... to names, and
// nil where a number is missing.
func inOrderOfNumbers(numbered map[string]string) []string {
	names := make([]string, len(numbered))
	for i := range names {
		name, ok := numbered[strconv.Itoa(i)]
		if !ok {
			return nil
		}
		names[i] = name
	}
	return names
}

// pythonItem is an item of a list or dictionary as Python's repr writes it: a
// number and a colon, where it is a dictionary, and a string in either quotes.
var pythonItem = regexp.MustCompile(`^\s*(?:['"]?(\d+)['"]?\s*:\s*)?(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")\s*(?:,|$)`)

// pythonNames reads what Python's repr writes of a list, tuple or dictionary
// of strings.
func pythonNames(text string) []string {
	closing := map[byte]byte{'[': ']', '{': '}', '(': ')'}[text[0]]
	if text[len(text)-1] != closing {
		return nil
	}
	rest, numbered, list := text[1:len(text)-1], map[string]string{}, []string(nil)
	for strings.TrimSpace(rest) != "" {
		found := pythonItem.FindStringSubmatch(rest)
		if found == nil || (found[1] != "") != (text[0] == '{') {
			return nil
		}
		name := found[2] + found[3]
		for _, escape := range [][2]string{{`\'`, `'`}, {`\"`, `"`}, {`\\`, `\`}} {
			name = strings.ReplaceAll(name, escape[0], escape[1])
		}
		if text[0] == '{' {
			numbered[found[1]] = name
		} else {
			list = append(list, name)
		}
		rest = rest[len(found[0]):]
	}
	if text[0] == '{' {
		return inOrderOfNumbers(numbered)
	}
	return list
}
