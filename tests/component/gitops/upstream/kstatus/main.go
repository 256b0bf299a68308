// Prints what upstream's kstatus, by which Flux and others wait, makes of each object of a JSON list on stdin.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	var list struct {
		Items []json.RawMessage `json:"items"`
	}
	if err := json.NewDecoder(os.Stdin).Decode(&list); err != nil {
		return err
	}
	for _, raw := range list.Items {
		object := &unstructured.Unstructured{}
		// Not with encoding/json: it reads integers as floats.
		if err := object.UnmarshalJSON(raw); err != nil {
			return err
		}
		found, err := status.Compute(object)
		if err != nil {
			return err
		}
		fmt.Println(found.Status)
	}
	return nil
}
