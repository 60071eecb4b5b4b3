package pipeline

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// paletteAnswers are what a palette's teacher says of n validation images.
func paletteAnswers(t *testing.T, p palette, order []int, sharpness float64, n int) *answers {
	t.Helper()
	set := p.set(t, n)
	unit := spec(t, "unit")
	session := open(t, p.teacher(t, unit, order, sharpness), set)
	if err := session.SetPreprocess(unit); err != nil {
		t.Fatal(err)
	}
	said, err := askSome(t.Context(), session, set.Val)
	if err != nil {
		t.Fatal(err)
	}
	return said
}

func TestAnotherClassOrderIsFound(t *testing.T) {
	weak := newPalette(43, 14)
	for c := range 3 { // classes 5 and 6 are nearly one: mostly taken for each other
		weak.colours[6][c] = weak.colours[5][c] + 4
	}
	for _, c := range []struct {
		name    string
		palette palette
		order   []int
	}{
		{"a rotation of 10", newPalette(10, 20), []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 0}},
		{"two of 10", newPalette(10, 20), []int{0, 1, 7, 3, 4, 5, 6, 2, 8, 9}},
		{"43 with classes hard to tell apart", weak, shuffled(43)},
		{"43 where most is wrong", newPalette(43, 35), shuffled(43)},
	} {
		t.Run(c.name, func(t *testing.T) {
			said := paletteAnswers(t, c.palette, c.order, 1, 860)
			order, top1 := said.anotherOrder()
			if order == nil {
				t.Fatalf("not found; right on %.3f, under the true order %.3f", said.top1(nil), said.top1(c.order))
			}
			wrong := 0
			for i, want := range c.order {
				if order[i] != want {
					wrong++
				}
			}
			t.Logf("own %.3f, found %.3f, true %.3f, %d classes wrong", said.top1(nil), top1, said.top1(c.order), wrong)
			if wrong > len(order)/8 || top1 < said.top1(c.order)-0.03 || top1 != said.top1(order) {
				t.Errorf("found %v with %.3f, want %v with %.3f", order, top1, c.order, said.top1(c.order))
			}
		})
	}
}

// No order is better than the right one, however often the model is wrong, and
// none is offered for noise.
func TestTheRightClassOrderIsLeftAlone(t *testing.T) {
	for _, deviation := range []float64{1, 14, 40, 120} {
		for _, classes := range []int{2, 10, 43} {
			said := paletteAnswers(t, newPalette(classes, deviation), nil, 1, 860)
			if order, top1 := said.anotherOrder(); order != nil {
				t.Errorf("%d classes, deviation %v: %v with %.3f for %.3f", classes, deviation, order, top1, said.top1(nil))
			}
		}
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for trial := range 20 {
		const classes, n = 43, 430
		said := &answers{}
		for i := range n {
			logits := make([]float32, classes)
			for c := range logits {
				logits[c] = float32(3 * rng.NormFloat64())
			}
			said.add(logits, []int{i % classes})
		}
		if order, _ := said.anotherOrder(); order != nil {
			t.Errorf("noise %d has the order %v", trial, order)
		}
	}
}

func TestSuspicions(t *testing.T) {
	for _, c := range []struct {
		name             string
		classes          int
		deviation        float64
		order            []int
		sharpness        float64
		preprocess       string
		want             string // in the warning; empty is none
		mapping, causes_ bool
	}{
		{"a good teacher", 10, 10, nil, 1, "unit", "", false, false},
		{"a middling one", 43, 30, nil, 1, "unit", "", false, false},
		{"an overconfident one", 10, 40, nil, 1.5, "unit", "", false, false},
		{"a modest one", 10, 10, nil, 0.05, "unit", "", false, false},
		{"wrong preprocessing", 10, 10, nil, 1, "imagenet", "its own confidence expects", false, true},
		{"the other order of colours", 10, 10, nil, 1, "unit,order=bgr", "order=bgr", true, true},
		{"another order of classes", 43, 10, shuffled(43), 1, "unit", "teacher.classes " + FormatClasses(shuffled(43)), true, false},
		{"a lost cause", 10, 10, nil, 1e-4, "scale=1e-7", "where chance is", false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPalette(c.classes, c.deviation)
			set := p.set(t, 860)
			session := open(t, p.teacher(t, spec(t, "unit"), c.order, c.sharpness), set)
			if err := session.SetPreprocess(spec(t, c.preprocess)); err != nil {
				t.Fatal(err)
			}
			said, err := askSome(t.Context(), session, set.Val)
			if err != nil {
				t.Fatal(err)
			}
			r := &transcript{}
			suspect(said, session.Spec(), r)
			text := strings.Join(r.warned, "\n")
			t.Logf("right on %.3f, confidence %.3f: %s", said.top1(nil), said.confidence(), text)
			if (text == "") != (c.want == "") || !strings.Contains(text, c.want) {
				t.Errorf("warned %q, want %q", text, c.want)
			}
			if got := strings.Contains(text, "this mapping would give"); got != c.mapping {
				t.Errorf("a mapping is offered: %v, want %v", got, c.mapping)
			}
			if c.causes_ {
				last := -1
				for _, cause := range []string{"teacher.preprocess", "order=bgr there", "teacher.classes", "softmax"} {
					at := strings.Index(text, cause)
					if at <= last {
						t.Errorf("%q is not the next cause in %q", cause, text)
					}
					last = at
				}
			}
		})
	}
}

// The demo's teacher is above suspicion.
func TestTheDemosTeacherIsNotSuspected(t *testing.T) {
	_, o := tinyRun(t)
	session := open(t, demoTeacher, o.Data)
	said, err := askSome(t.Context(), session, o.Data.Train)
	if err != nil {
		t.Fatal(err)
	}
	r := &transcript{}
	if suspect(said, session.Spec(), r); len(r.warned) > 0 {
		t.Error(r.warned)
	}
}

func TestFormatClasses(t *testing.T) {
	if got := FormatClasses([]int{1, 2, 0}); got != "1,2,0" {
		t.Errorf("got %q", got)
	}
	if order := shuffled(9); !slices.Equal(inverse(inverse(order)), order) {
		t.Error("an order is not what its inverse undoes")
	}
}
