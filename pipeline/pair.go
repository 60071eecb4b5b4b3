package pipeline

import (
	"fmt"
	"math"
	"strings"
)

// TapPair is one place where the student learns to look where the teacher
// looks.
type TapPair struct {
	Student, Teacher         string
	StudentSize, TeacherSize [2]int // height and width of the two maps
}

// String writes the pair as a line of the checks before training.
func (p TapPair) String() string {
	s := fmt.Sprintf("%s (%dx%d) learns from %s (%dx%d)", p.Student, p.StudentSize[0], p.StudentSize[1], p.Teacher, p.TeacherSize[0], p.TeacherSize[1])
	if p.StudentSize != p.TeacherSize {
		s += ", the larger map averaged down to the smaller"
	}
	return s
}

// tap is one side of a pair before it is paired.
type tap struct {
	name string
	size [2]int
}

// relative is the tap's resolution as a share of its model's input.
func (t tap) relative(input [2]int) float64 {
	return math.Sqrt(float64(t.size[0]*t.size[1]) / float64(max(input[0]*input[1], 1)))
}

// pairNamed pairs the taps the user named, one by one.
func pairNamed(students, teachers []tap) ([]TapPair, error) {
	if len(students) != len(teachers) {
		return nil, fmt.Errorf("pipeline: %d student taps (%s) for %d teacher taps (%s); name as many with student.taps as with teacher.taps",
			len(students), names(students), len(teachers), names(teachers))
	}
	pairs := make([]TapPair, len(students))
	for i, s := range students {
		pairs[i] = TapPair{s.name, teachers[i].name, s.size, teachers[i].size}
	}
	return pairs, nil
}

// pairByResolution gives each student tap the last teacher tap whose share of
// its input's resolution is the same, within the rounding that odd sizes
// bring; a student tap without one goes unpaired. Both lists run from input to
// output.
func pairByResolution(students, teachers []tap, studentInput, teacherInput [2]int) []TapPair {
	var pairs []TapPair
	for _, s := range students {
		for i := len(teachers) - 1; i >= 0; i-- {
			t := teachers[i]
			ratio := s.relative(studentInput) / t.relative(teacherInput)
			if ratio > 0.8 && ratio < 1.25 {
				pairs = append(pairs, TapPair{s.name, t.name, s.size, t.size})
				break
			}
		}
	}
	return pairs
}

func names(taps []tap) string {
	var s []string
	for _, t := range taps {
		s = append(s, t.name)
	}
	return strings.Join(s, ", ")
}
