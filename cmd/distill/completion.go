package main

import (
	"fmt"

	"github.com/urfave/cli/v2"
)

// The scripts ask the program itself: with --generate-bash-completion as last
// word it prints the words that can follow.
var completionScripts = map[string]string{
	"bash": `_distill() {
  local words=("${COMP_WORDS[@]:0:$COMP_CWORD}") current="${COMP_WORDS[$COMP_CWORD]}"
  if [[ $current == -* ]]; then words+=("$current"); fi
  COMPREPLY=($(compgen -W "$("${words[@]}" --generate-bash-completion 2>/dev/null)" -- "$current"))
}
complete -o bashdefault -o default -F _distill distill
`,
	"zsh": `#compdef distill
_distill() {
  local -a found words_before
  words_before=("${(@)words[1,CURRENT-1]}")
  if [[ ${words[CURRENT]} == -* ]]; then words_before+=("${words[CURRENT]}"); fi
  found=("${(@f)$("${words_before[@]}" --generate-bash-completion 2>/dev/null)}")
  if [[ -n $found[1] ]]; then compadd -a found; else _files; fi
}
compdef _distill distill
`,
	"fish": `complete -c distill -n '__fish_use_subcommand' -f -a '(distill --generate-bash-completion)'
complete -c distill -n 'not __fish_use_subcommand; and string match -q -- "-*" (commandline -ct)' -f -a '(set -l w (commandline -opc) (commandline -ct); $w --generate-bash-completion)'
`,
}

func newCompletionCommand() *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "print a shell's completion script",
		ArgsUsage: "bash|zsh|fish",
		Description: `Worked examples:
   source <(distill completion bash)              # this shell
   distill completion zsh > ~/.zfunc/_distill     # every zsh; ~/.zfunc is in $fpath`,
		Action: func(c *cli.Context) error {
			shell, err := oneArgument(c, "shell (bash, zsh or fish)")
			if err != nil {
				return err
			}
			script, ok := completionScripts[shell]
			if !ok {
				return usagef("completion: %q is not one of bash, zsh, fish", shell)
			}
			fmt.Fprint(c.App.Writer, script)
			return nil
		},
	}
}
