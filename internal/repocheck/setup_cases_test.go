package repocheck

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const (
	cached = ".cache/onnxdistill/onnxruntime-1.30.0/libonnxruntime.so.1" // below HOME
	broken = "echo 'npm: no network' >&2; exit 1\n"                      // an npm
)

// findingCases are about the tools and the library that are on the machine.
var findingCases = []setupCase{
	{
		name: "a library in the cache folder is used",
		prepare: func(t *testing.T, home string) []string {
			buildFake(t, filepath.Join(home, cached), "30")
			return nil
		},
		npm:  broken,
		want: []string{"ONNX Runtime 1.30.0 is in the cache folder"},
	},
	{
		name: "a broken library in the cache folder is not used",
		prepare: func(t *testing.T, home string) []string {
			file := filepath.Join(home, cached)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte("cut short"), 0o644); err != nil {
				t.Fatal(err)
			}
			return nil
		},
		npm:   broken,
		want:  []string{"cannot be used and is fetched again", "npm could not fetch onnxruntime-node@1.30.0", "ONNXRUNTIME_ARCHIVE=file:///"},
		fails: true,
	},
	{
		name: "a system library that is new enough is used",
		prepare: func(t *testing.T, home string) []string {
			buildFake(t, filepath.Join(home, "lib/libonnxruntime.so.1"), "24")
			return []string{"LD_LIBRARY_PATH=" + filepath.Join(home, "lib")}
		},
		npm:  broken,
		want: []string{"ONNX Runtime 1.24.0 is on the system's library path, as libonnxruntime.so.1"},
	},
	{
		name: "a system library that is too old is passed over",
		prepare: func(t *testing.T, home string) []string {
			buildFake(t, filepath.Join(home, "lib/libonnxruntime.so"), "23")
			return []string{"LD_LIBRARY_PATH=" + filepath.Join(home, "lib")}
		},
		npm:   broken,
		want:  []string{"libonnxruntime.so: version 1.23.0 is too old, 1.24 or newer is needed", "fetching onnxruntime-node 1.30.0"},
		fails: true,
	},
	{
		name: "a library named by the user is used before the cache folder's",
		prepare: func(t *testing.T, home string) []string {
			buildFake(t, filepath.Join(home, cached), "30")
			buildFake(t, filepath.Join(home, "mine/libonnxruntime.so"), "25")
			return []string{"ONNXRUNTIME_LIB=" + filepath.Join(home, "mine")}
		},
		npm:  broken,
		want: []string{"ONNX Runtime 1.25.0 named by ONNXRUNTIME_LIB"},
	},
	{
		name: "a library named by the user that is not there is an error, whatever else is found",
		prepare: func(t *testing.T, home string) []string {
			buildFake(t, filepath.Join(home, cached), "30")
			return []string{"ONNXRUNTIME_LIB=" + filepath.Join(home, "nowhere.so")}
		},
		npm:   broken,
		want:  []string{"nowhere.so\", and there is no library", "or unset it"},
		fails: true,
	},
	{
		name: "a library named by the user that is another library is an error",
		prepare: func(t *testing.T, home string) []string {
			file := filepath.Join(home, "other.so")
			c := exec.Command("cc", "-shared", "-fPIC", "-x", "c", "-o", file, "-")
			c.Stdin = strings.NewReader("int other(void) { return 1; }")
			if out, err := c.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			return []string{"ONNXRUNTIME_LIB=" + file}
		},
		npm:   broken,
		want:  []string{"not an ONNX Runtime library"},
		fails: true,
	},
	{
		name: "without a C compiler the way out is named",
		prepare: func(*testing.T, string) []string {
			return []string{"CC=no-such-compiler"}
		},
		npm:   broken,
		want:  []string{`the C compiler "no-such-compiler" is missing`, "apt-get install gcc"},
		fails: true,
	},
}

// fetchingCases are about the library that is on no machine.
var fetchingCases = []setupCase{
	{
		name:  "a package with the wrong checksum installs nothing",
		npm:   "echo changed >onnxruntime-node-1.30.0.tgz\n",
		want:  []string{"checksum is wrong; nothing was installed", "want sha512-twhs1C2C", "got  sha512-"},
		fails: true,
	},
	{
		name:  "without npm and curl the ways out are named",
		want:  []string{"npm and curl are missing", "apt-get install npm, or curl", "ONNXRUNTIME_LIB"},
		fails: true,
	},
	{
		name: "an archive of the right checksum is unpacked, without npm",
		prepare: func(t *testing.T, home string) []string {
			return archive(t, home, "onnxruntime-linux-x64-1.30.0", "30")
		},
		curl:     true,
		installs: true,
		want:     []string{"fetching file://", "taking onnxruntime-linux-x64-1.30.0/lib/libonnxruntime.so.1.30.0", "ONNX Runtime 1.30.0 put into the cache folder"},
	},
	{
		name: "an archive of the user's is taken before npm is asked, whatever its paths begin with",
		prepare: func(t *testing.T, home string) []string {
			return archive(t, home, "./onnxruntime", "30")
		},
		npm:      broken,
		curl:     true,
		installs: true,
		want:     []string{"taking ./onnxruntime/lib/libonnxruntime.so.1.30.0", "ONNX Runtime 1.30.0 put into the cache folder"},
	},
	{
		name: "an archive of another checksum installs nothing",
		prepare: func(t *testing.T, home string) []string {
			return archive(t, home, "onnxruntime-linux-x64-1.30.0", "30")[:1]
		},
		curl:  true,
		want:  []string{"the archive's checksum is wrong; nothing was installed", "want ", "got  "},
		fails: true,
	},
	{
		name: "an archive without a library installs nothing",
		prepare: func(t *testing.T, home string) []string {
			return archive(t, home, "onnxruntime", "")
		},
		curl:  true,
		want:  []string{"the archive holds no library"},
		fails: true,
	},
	{
		name: "an archive that is too old installs nothing",
		prepare: func(t *testing.T, home string) []string {
			return archive(t, home, "onnxruntime", "23")
		},
		curl:  true,
		want:  []string{"cannot be used on this machine", "1.23.0 is too old"},
		fails: true,
	},
	{
		name: "an archive that cannot be reached names the way on",
		prepare: func(t *testing.T, home string) []string {
			return []string{"ONNXRUNTIME_ARCHIVE=file://" + home + "/nowhere.tgz"}
		},
		curl:  true,
		want:  []string{"curl could not fetch the archive", "check the network", "another way and name it"},
		fails: true,
	},
}

// oneDNNCases are about oneDNN, which is there, can be installed, or neither.
func oneDNNCases() []setupCase {
	const fetch = `[ "$1" != install ] || : >"$HOME/installed"` // what apt-get does in these cases
	var cases []setupCase
	for _, c := range []struct {
		name    string
		prepare []string
		want    string
	}{
		{"oneDNN that is there is built with", []string{"installed"}, "header and library are there: built with the tag onednn"},
		{"oneDNN is installed by root", []string{"id echo 0", "apt-get " + fetch}, "oneDNN is installed: built with the tag onednn"},
		{"oneDNN is installed through sudo that asks no password", []string{"id echo 1000", `sudo shift; "$@"`, "apt-get " + fetch}, "oneDNN is installed"},
		{"oneDNN is not installed where sudo asks for a password", []string{"id echo 1000", "sudo exit 1", "apt-get " + fetch}, "for the faster ones: sudo apt-get install libdnnl-dev"},
		{"an installation of oneDNN that fails is shown and does not stop setup", []string{"id echo 0", "apt-get echo no space left; exit 100"}, "no space left"},
		{"an installation that leaves no oneDNN is not believed", []string{"id echo 0", "apt-get :"}, "no oneDNN: the student trains on the portable kernels"},
		{"a system without apt-get is told of the package", nil, "no oneDNN: the student trains on the portable kernels; for the faster ones: apt-get install libdnnl-dev"},
		{"ONEDNN=off leaves the system as it is", []string{"ONEDNN off", "id echo 0", "apt-get " + fetch}, "oneDNN is off"},
	} {
		cases = append(cases, setupCase{name: c.name, prepare: machine(c.prepare...), npm: broken, want: []string{c.want, "ONNX Runtime 1.30.0 is in the cache folder"}})
	}
	return cases
}

// machine prepares a home with a library and a compiler that finds oneDNN where the
// file "installed" is there, and else not. What else it has is listed: "installed",
// a value of ONEDNN behind its name, or the body of a tool behind its.
func machine(has ...string) func(t *testing.T, home string) []string {
	const compiler = "for a; do case $a in */onednn.c) [ -e \"$HOME/installed\" ]; exit;; esac; done\nexec cc \"$@\"\n"
	return func(t *testing.T, home string) []string {
		buildFake(t, filepath.Join(home, cached), "30")
		script(t, filepath.Join(home, "compiler"), compiler)
		env := []string{"CC=" + filepath.Join(home, "compiler")}
		for _, p := range has {
			switch name, body, _ := strings.Cut(p, " "); name {
			case "installed":
				if err := os.WriteFile(filepath.Join(home, name), nil, 0o644); err != nil {
					t.Fatal(err)
				}
			case "ONEDNN":
				env = append(env, name+"="+body)
			default:
				script(t, filepath.Join(home, "tools", name), body+"\n")
			}
		}
		return env
	}
}
