// Command interop lets Go's own implementation of signed notes and tile logs judge ours, and make logs for ours to judge.
//
//	interop check   reads a Case, verifies everything in it with x/mod, answers "ok"
//	interop make N  writes a Case of N records
package main

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Case is a log as its reader sees it.
type Case struct {
	VKey        string          `json:"vkey"`
	Origin      string          `json:"origin"`
	Note        string          `json:"note"`
	Records     [][]byte        `json:"records"`
	Proofs      [][]tlog.Hash   `json:"proofs"`      // inclusion, by index
	Consistency [][]tlog.Hash   `json:"consistency"` // from size i+1 to all
	Roots       []tlog.Hash     `json:"roots"`       // of size i+1
	Tiles       map[string]Tile `json:"tiles"`       // "level/index"
}

// Tile is up to 256 hashes in a row.
type Tile []byte

func main() {
	if len(os.Args) < 2 {
		fail("usage: interop check | make N")
	}
	switch os.Args[1] {
	case "check":
		var c Case
		must(json.NewDecoder(os.Stdin).Decode(&c))
		check(c)
		fmt.Println("ok")
	case "make":
		n, err := strconv.Atoi(os.Args[2])
		must(err)
		must(json.NewEncoder(os.Stdout).Encode(build(n)))
	}
}

func check(c Case) {
	verifier, err := note.NewVerifier(c.VKey)
	must(err)
	opened, err := note.Open([]byte(c.Note), note.VerifierList(verifier))
	must(err)
	lines := strings.SplitN(opened.Text, "\n", 4)
	if lines[0] != c.Origin {
		fail("origin is %q", lines[0])
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	must(err)
	raw, err := base64.StdEncoding.DecodeString(lines[2])
	must(err)
	root := tlog.Hash(raw)
	if int(size) != len(c.Records) {
		fail("checkpoint of %d, %d records", size, len(c.Records))
	}
	for i, record := range c.Records {
		must(tlog.CheckRecord(c.Proofs[i], size, root, int64(i), tlog.RecordHash(record)))
	}
	for i, old := range c.Roots {
		if int64(i+1) < size {
			must(tlog.CheckTree(c.Consistency[i], size, root, int64(i+1), old))
		}
	}
	// Every stored hash, as x/mod computes it from the records, must be the one that our tiles have.
	hashes := store(c.Records)
	for name, data := range c.Tiles {
		var level, index int64
		_, err := fmt.Sscanf(name, "%d/%d", &level, &index)
		must(err)
		tile := tlog.Tile{H: 8, L: int(level), N: index, W: len(data) / tlog.HashSize}
		ours, err := tlog.ReadTileData(tile, hashes)
		must(err)
		if !bytes.Equal(ours, data) {
			fail("tile %s differs", name)
		}
	}
}

func build(n int) Case {
	skey, vkey, err := note.GenerateKey(rand.Reader, "go.example/log")
	must(err)
	signer, err := note.NewSigner(skey)
	must(err)
	c := Case{VKey: vkey, Origin: "go.example/log", Tiles: map[string]Tile{}}
	for i := 0; i < n; i++ {
		c.Records = append(c.Records, []byte(fmt.Sprintf("record %d", i)))
	}
	hashes := store(c.Records)
	root, err := tlog.TreeHash(int64(n), hashes)
	must(err)
	for i := range c.Records {
		proof, err := tlog.ProveRecord(int64(n), int64(i), hashes)
		must(err)
		c.Proofs = append(c.Proofs, proof)
		old, err := tlog.TreeHash(int64(i+1), hashes)
		must(err)
		c.Roots = append(c.Roots, old)
		tree, err := tlog.ProveTree(int64(n), int64(i+1), hashes)
		must(err)
		c.Consistency = append(c.Consistency, tree)
	}
	text := fmt.Sprintf("%s\n%d\n%s\n", c.Origin, n, base64.StdEncoding.EncodeToString(root[:]))
	signed, err := note.Sign(&note.Note{Text: text}, signer)
	must(err)
	c.Note = string(signed)
	return c
}

// store keeps all hashes of a tree over records.
func store(records [][]byte) tlog.HashReader {
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			out[i] = stored[index]
		}
		return out, nil
	})
	for i, record := range records {
		hashes, err := tlog.StoredHashes(int64(i), record, reader)
		must(err)
		stored = append(stored, hashes...)
	}
	return reader
}

func must(err error) {
	if err != nil {
		fail("%v", err)
	}
}

func fail(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	os.Exit(1)
}
