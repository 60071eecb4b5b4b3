package data

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Names of formats, as [Set.Format] gives them.
const (
	FormatImages   = "images"
	FormatCIFAR10  = "cifar-10"
	FormatCIFAR100 = "cifar-100"
	FormatIDX      = "idx"
	FormatSVHN     = "svhn"
	FormatMemory   = "memory" // see FromMemory
)

var (
	cifar10Name  = regexp.MustCompile(`(?i)^(data_batch_[1-9][0-9]?\.bin|test_batch\.bin|batches\.meta\.txt)$`)
	cifar100Name = regexp.MustCompile(`(?i)^(train\.bin|test\.bin|fine_label_names\.txt|coarse_label_names\.txt)$`)
	svhnName     = regexp.MustCompile(`(?i)^(train|test)_32x32\.mat$`)
	idxName      = regexp.MustCompile(`(?i)^(?:(.+)-)?(train|t10k|test)-(images|labels)[-.]idx[0-9]-ubyte(\.gz)?$`)
	// pickleName is the Python edition of CIFAR, kept in listings only to say that
	// it is not read.
	pickleName = regexp.MustCompile(`^(data_batch_[1-5]|batches\.meta)$`)
)

// binaryFormat returns the format that a file of this base name belongs to, or "".
func binaryFormat(base string) string {
	switch {
	case cifar10Name.MatchString(base):
		return FormatCIFAR10
	case cifar100Name.MatchString(base):
		return FormatCIFAR100
	case svhnName.MatchString(base):
		return FormatSVHN
	case idxName.MatchString(base):
		return FormatIDX
	}
	return ""
}

// group is the files of one data set in a container.
type group struct {
	format string
	files  []file
}

// detect decides which data set a container holds.
func detect(files []file) (group, error) {
	binary := map[string][]file{}
	var images []file
	pickles := ""
	for _, f := range files {
		base := path.Base(f.name)
		if format := binaryFormat(base); format != "" {
			binary[format] = append(binary[format], f)
		} else if pickleName.MatchString(base) {
			pickles = f.name
		} else {
			images = append(images, f)
		}
	}
	switch formats := slices.Sorted(maps.Keys(binary)); {
	case len(formats) == 1:
		return group{formats[0], binary[formats[0]]}, nil
	case len(formats) > 1:
		return group{}, fmt.Errorf("holds files of several data sets (%s: %s; %s: %s); name one of the files, or move one set elsewhere",
			formats[0], binary[formats[0]][0].name, formats[1], binary[formats[1]][0].name)
	case len(images) > 0:
		return group{FormatImages, images}, nil
	case pickles != "":
		return group{}, fmt.Errorf("%s is CIFAR's Python edition (pickled); get the binary edition, cifar-10-binary.tar.gz or cifar-100-binary.tar.gz", pickles)
	}
	return group{}, fmt.Errorf("holds no data set; wanted %s", accepted)
}

// uniqueBases indexes files by lower-case base name. Two files of one name, in
// different folders, would be two data sets.
func uniqueBases(files []file) (map[string]*file, error) {
	out := map[string]*file{}
	for i := range files {
		base := strings.ToLower(path.Base(files[i].name))
		if other, twice := out[base]; twice {
			return nil, fmt.Errorf("holds both %s and %s; name the folder of one of them", other.name, files[i].name)
		}
		out[base] = &files[i]
	}
	return out, nil
}
