package main

import (
	"bufio"
	"fmt"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"citadel.dev/go/step"
)

// harmless are the directives that a source may have. Others reach into other packages or files.
var harmless = []string{"//go:build", "//go:generate", "//go:noinline", "//go:norace", "//go:nosplit", "//go:debug"}

// inspect finds what is wrong with a source before the compiler sees it. What the compiler says better is left to it.
func inspect(source string, importable func(string) bool) []problem {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, step.SourceFile, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return unparsable(err)
	}
	var found []problem
	add := func(at token.Pos, format string, args ...any) {
		place := files.PositionFor(at, false) // without what //line says
		found = append(found, problem{place.Line, place.Column, fmt.Sprintf(format, args...)})
	}
	if file.Name.Name != "main" {
		add(file.Name.Pos(), "found package %s, expected package main", file.Name.Name)
	}
	for _, spec := range file.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err == nil && !importable(name) {
			add(spec.Pos(), "%s", missing(name))
		}
	}
	for _, group := range file.Comments {
		for _, comment := range group.List {
			directive, _, _ := strings.Cut(strings.TrimSpace(comment.Text), " ")
			if strings.HasPrefix(comment.Text, "//go:") && !slices.Contains(harmless, directive) || strings.HasPrefix(comment.Text, "//export ") {
				add(comment.Pos(), "found %s, which a step may not have", directive)
			}
		}
	}
	main := false
	for _, declaration := range file.Decls {
		function, ok := declaration.(*ast.FuncDecl)
		if !ok || function.Recv != nil {
			continue
		}
		switch function.Name.Name {
		case "Main":
			main = true
			if function.Type.TypeParams != nil || function.Type.Params.NumFields() > 2 || function.Type.Results.NumFields() > 2 {
				add(function.Pos(), "Main has another signature, %s", step.Wanted)
			}
		case "main":
			add(function.Pos(), "found func main, %s", step.Wanted)
		}
	}
	if !main && len(found) == 0 {
		found = append(found, problem{message: "found no func Main, " + step.Wanted})
	}
	return found
}

func unparsable(err error) []problem {
	list, ok := err.(scanner.ErrorList)
	if !ok {
		return []problem{{message: err.Error()}}
	}
	var found []problem
	for _, each := range list {
		found = append(found, problem{each.Pos.Line, each.Pos.Column, each.Msg})
	}
	return found
}

// missing says why a package cannot be imported.
func missing(name string) string {
	switch {
	case name == "C":
		return `import "C": steps are compiled without cgo`
	case strings.HasPrefix(name, ".") || strings.HasPrefix(name, "/"):
		return fmt.Sprintf("import %q: a step is one file", name)
	default:
		return fmt.Sprintf("import %q: neither the standard library nor the Runtime has it", name)
	}
}

// readImportable is what a step may import: what ../precompile has listed, but for what is internal.
func readImportable(file string) (map[string]bool, error) {
	listed, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer listed.Close()
	importable := map[string]bool{"unsafe": true}
	lines := bufio.NewScanner(listed)
	for lines.Scan() {
		name, _, _ := strings.Cut(strings.TrimPrefix(lines.Text(), "packagefile "), "=")
		parts := strings.Split(path.Clean(name), "/")
		if !slices.Contains(parts, "internal") && parts[0] != "vendor" && parts[0] != "citadel.dev" {
			importable[name] = true
		}
	}
	return importable, lines.Err()
}
