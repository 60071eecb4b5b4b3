package pipeline

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// Origin is what a run was started with, so that it can be told what differs when
// it is taken up.
type Origin struct {
	Settings      string   `json:"settings"`         // Config.settings
	Data          string   `json:"data_fingerprint"` // data.Set.Fingerprint
	StudentSHA256 string   `json:"student_sha256,omitempty"`
	Classes       []string `json:"classes"`
	Image         [3]int   `json:"image"` // height, width, channels
}

func (u *run) origin() *Origin {
	settings, _ := u.config.settings() // which configHash has encoded before
	return &Origin{
		Settings: string(settings), Data: u.data.Fingerprint, StudentSHA256: u.studentSHA,
		Classes: u.data.Classes, Image: [3]int{u.data.H, u.data.W, u.data.C},
	}
}

// settings is what of a resolved Config decides the student, in YAML: all but the
// resources, and of paths only whether there is a teacher and what a student's
// file is called.
func (c Config) settings() ([]byte, error) {
	c.Data.Path, c.Resources = "", ResourcesConfig{}
	if c.Teacher.Path != "" {
		c.Teacher.Path = "teacher"
	}
	if c.Student.IsFile() {
		c.Student.Architecture = filepath.Base(c.Student.Architecture)
	}
	b, err := c.YAML()
	if err != nil {
		return nil, fmt.Errorf("pipeline: %w", err)
	}
	return b, nil
}

func (c Config) settingsHash() (string, error) {
	b, err := c.settings()
	return contentHash(b), err
}

// contentHash is the SHA-256 of b in hexadecimal.
func contentHash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// configHash identifies what decides the student: the resolved Config with
// content in place of paths, and without the resources.
func (u *run) configHash() (string, error) {
	c := u.config
	c.Data.Path, c.Teacher.Path, c.Resources = u.data.Fingerprint, u.teacherSHA, ResourcesConfig{}
	if c.Student.IsFile() {
		c.Student.Architecture = u.studentSHA
	}
	b, err := c.YAML()
	if err != nil {
		return "", fmt.Errorf("pipeline: hashing the configuration: %w", err)
	}
	return contentHash(b), nil
}

// checkOrigin returns an error that says what differs, unless the run that was
// opened is the one that the checkpoint is of.
func (u *run) checkOrigin(folder Folder, p Progress) error {
	if p.ConfigHash == u.hash {
		return nil
	}
	const advice = "restore them, or begin a new run"
	if p.Begun == nil { // nothing more is known
		return fmt.Errorf("pipeline: %s was started with another configuration, teacher or data set than %s names; %s", folder, folder.Config(), advice)
	}
	now := u.origin()
	var differ []string
	if p.Begun.Data != now.Data {
		differ = append(differ, fmt.Sprintf("the images in %s are other ones (Options.DataPath says where the run's are)", u.config.Data.Path))
	}
	if p.TeacherSHA256 != u.teacherSHA {
		differ = append(differ, fmt.Sprintf("%s is another teacher (Options.TeacherPath says where the run's is)", cmp.Or(u.config.Teacher.Path, "none")))
	}
	if p.Begun.StudentSHA256 != now.StudentSHA256 {
		differ = append(differ, fmt.Sprintf("%s holds another network", folder.Architecture()))
	}
	if keys := changedSettings(p.Begun.Settings, now.Settings); len(keys) > 0 {
		differ = append(differ, "another configuration: "+strings.Join(keys, ", "))
	}
	if len(differ) == 0 {
		differ = []string{"another configuration"}
	}
	return fmt.Errorf("pipeline: %s is not as the run began: %s; %s", folder, strings.Join(differ, "; "), advice)
}

// checkSettings compares the configuration that was read with what the file says
// it was when the run began; files of earlier versions do not say.
func (f Folder) checkSettings(c Config, file []byte) error {
	_, rest, said := strings.Cut(string(file), "\n"+settingsComment)
	if !said {
		return nil
	}
	want, _, _ := strings.Cut(rest, "\n")
	settings, err := c.settings()
	if err != nil {
		return err
	}
	if contentHash(settings) == want {
		return nil
	}
	changed := ""
	if _, p, err := readCheckpoint(f.Checkpoint()); err == nil && p.Begun != nil {
		changed = ": " + strings.Join(changedSettings(p.Begun.Settings, string(settings)), ", ")
	}
	return fmt.Errorf("pipeline: %s holds another configuration than the run began with%s; restore it, or begin a new run with it in another folder", f.Config(), changed)
}

// changedSettings lists the keys in which two YAML texts differ, with both values.
func changedSettings(was, is string) []string {
	a, errA := flatten(was)
	b, errB := flatten(is)
	if errors.Join(errA, errB) != nil {
		return nil
	}
	keys := maps.Clone(a)
	maps.Copy(keys, b)
	var changed []string
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		if a[k] != b[k] {
			changed = append(changed, fmt.Sprintf("%q is %s, was %s", k, cmp.Or(b[k], "not set"), cmp.Or(a[k], "not set")))
		}
	}
	return changed
}

// flatten returns the values of a YAML text by their keys, such as training.epochs.
func flatten(text string) (map[string]string, error) {
	var root map[string]any
	if err := yaml.Unmarshal([]byte(text), &root); err != nil {
		return nil, err
	}
	values := map[string]string{}
	var visit func(prefix string, m map[string]any)
	visit = func(prefix string, m map[string]any) {
		for k, v := range m {
			if below, ok := v.(map[string]any); ok {
				visit(prefix+k+".", below)
				continue
			}
			if values[prefix+k] = fmt.Sprint(v); v == "" {
				values[prefix+k] = `""`
			}
		}
	}
	visit("", root)
	return values, nil
}
