package main

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/nacl/box"

	"citadel.dev/runtimes/internal/mask"
	"citadel.dev/runtimes/internal/wire"
)

// keys are this runner's own: made at its start, kept in its memory, gone with it.
type keys struct {
	public, private *[32]byte
}

func newKeys() (*keys, error) {
	public, private, err := box.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	return &keys{public, private}, nil
}

func (k *keys) publicBase64() string { return base64.StdEncoding.EncodeToString(k.public[:]) }

// unseal opens the assignment's sealed arguments and merges them into its input; those whose name is a path are files. It returns what is to be hidden.
// Its errors name the argument and never its value.
func (k *keys) unseal(given *assignment) (*mask.Secrets, error) {
	if len(given.Sealed) == 0 {
		return mask.NewSecrets(nil)
	}
	input := map[string]json.RawMessage{}
	if len(given.Input) > 0 {
		if err := json.Unmarshal(given.Input, &input); err != nil || input == nil {
			return nil, errors.New("the step's arguments are not a JSON object")
		}
	}
	var secret []json.RawMessage
	for name, argument := range given.Sealed {
		value, err := k.open(argument.Box)
		if err != nil {
			return nil, fmt.Errorf("argument %s: %w", name, err)
		}
		if strings.HasPrefix(name, "/") {
			var text string
			if err := json.Unmarshal(value, &text); err != nil {
				return nil, fmt.Errorf("file %s: its sealed box does not hold text", name)
			}
			if given.Files == nil {
				given.Files = map[string]string{}
			}
			given.Files[name] = text
		} else {
			input[name] = value
		}
		if argument.Secret {
			secret = append(secret, value)
		}
	}
	merged, err := wire.Marshal(input)
	if err != nil {
		return nil, fmt.Errorf("the step's arguments: %w", err)
	}
	given.Input = merged
	return mask.NewSecrets(secret)
}

func (k *keys) open(encoded string) (json.RawMessage, error) {
	sealed, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, errors.New("its sealed box is not base64")
	}
	value, ok := box.OpenAnonymous(nil, sealed, k.public, k.private)
	if !ok {
		return nil, errors.New("its sealed box was not made for this sandbox")
	}
	if value = bytes.TrimSpace(value); !json.Valid(value) {
		return nil, errors.New("its sealed box does not hold JSON")
	}
	return value, nil
}
