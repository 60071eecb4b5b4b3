// Package repocheck holds the repository's rules as tests: which package may
// import which, who may end the process, what README and docs may name, and what
// scripts/setup does on machines that lack something. It has no code of its own
// and nothing imports it; its tests run in the module's root.
package repocheck
