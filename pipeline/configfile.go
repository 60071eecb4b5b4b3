package pipeline

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"unicode"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/token"

	"github.com/onnxdistill/onnxdistill/onnx/wholefile"
)

// What a configuration file may hold at most. A real one has some 1,000 bytes
// and four levels; a parser that is given brackets or aliases without end takes
// memory without end.
const (
	maxConfigBytes = 32 << 10
	maxConfigDepth = 32
)

// YAML returns the configuration as config.yaml holds it.
func (c Config) YAML() ([]byte, error) {
	return yaml.MarshalWithOptions(c, yaml.CustomMarshaler(quote))
}

// quote writes a text that has characters no one sees, as names in a model's file
// may, in escapes: YAML would read another text than was written.
func quote(s string) ([]byte, error) {
	unseen := func(r rune) bool { return !unicode.IsPrint(r) }
	if strings.ContainsFunc(s, unseen) {
		return []byte(strconv.QuoteToASCII(s)), nil
	}
	return yaml.Marshal(s)
}

// ReadConfig reads a configuration file over Default; see ParseConfig.
func ReadConfig(path string) (Config, error) {
	b, err := readConfigFile(path)
	if err != nil {
		return Config{}, err
	}
	c, err := ParseConfig(b)
	if err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

func readConfigFile(path string) ([]byte, error) {
	f, err := wholefile.Open(path)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxConfigBytes+1))
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	if len(b) > maxConfigBytes {
		return nil, fmt.Errorf("config: %s has more than %d bytes; no configuration does", path, maxConfigBytes)
	}
	return b, nil
}

// ParseConfig reads a configuration over Default. An unknown key is an error
// that names it, and so is a broken number where a whole one belongs.
func ParseConfig(b []byte) (Config, error) {
	c := Default()
	if err := boundConfig(b); err != nil {
		return c, fmt.Errorf("config: %w", err)
	}
	if err := yaml.NewDecoder(bytes.NewReader(b), yaml.Strict()).Decode(&c); err != nil {
		return c, fmt.Errorf("config: %w", err)
	}
	// The decoder drops what follows the point of a number that it puts into an
	// integer, so the values are read once more as they stand.
	var values map[string]any
	if err := yaml.Unmarshal(b, &values); err != nil {
		return c, fmt.Errorf("config: %w", err)
	}
	return c, wholeNumbers("", reflect.TypeFor[Config](), values)
}

// boundConfig refuses a text that would cost the parser much: by its length and by
// its depth. Anchors and aliases, by which ten lines can stand for a billion,
// belong in no configuration.
func boundConfig(b []byte) error {
	if len(b) > maxConfigBytes {
		return fmt.Errorf("%d bytes; no configuration has more than %d", len(b), maxConfigBytes)
	}
	depth := 0
	for _, t := range lexer.Tokenize(string(b)) {
		deep := false
		switch t.Type {
		case token.AnchorType, token.AliasType, token.MergeKeyType:
			return fmt.Errorf("line %d has %s, by which YAML repeats a value; write the values out (text goes in quotes)", t.Position.Line, t.Value)
		case token.SequenceStartType, token.MappingStartType:
			depth++
			deep = depth > maxConfigDepth
		case token.SequenceEndType, token.MappingEndType:
			depth--
		case token.SequenceEntryType, token.MappingKeyType:
			deep = t.Position.Column > 2*maxConfigDepth
		}
		if deep {
			return fmt.Errorf("line %d nests more than %d deep; no configuration does", t.Position.Line, maxConfigDepth)
		}
	}
	return nil
}

// wholeNumbers returns an error for each value in the text that is no whole number
// where the configuration has one.
func wholeNumbers(prefix string, t reflect.Type, values map[string]any) error {
	var errs []error
	for i := range t.NumField() {
		f := t.Field(i)
		key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		v, there := values[key]
		if !there {
			continue
		}
		list, isList := v.([]any)
		switch below, isMap := v.(map[string]any); {
		case f.Type.Kind() == reflect.Struct && isMap:
			errs = append(errs, wholeNumbers(prefix+key+".", f.Type, below))
		case f.Type.Kind() == reflect.Slice && isList:
			for _, v := range list {
				errs = append(errs, wholeNumber(prefix+key, f.Type.Elem(), v))
			}
		default:
			errs = append(errs, wholeNumber(prefix+key, f.Type, v))
		}
	}
	return errors.Join(errs...)
}

func wholeNumber(key string, t reflect.Type, v any) error {
	x, broken := v.(float64)
	switch t.Kind() {
	case reflect.Int, reflect.Int64, reflect.Uint64:
		if broken {
			return fmt.Errorf("config: %s is a whole number, got %v", key, x)
		}
	}
	return nil
}
