// Command anchor lets other implementations of C2SP tlog-witness and tlog-tiles work with ours.
//
//	anchor witness VKEY        witnesses the log of VKEY until standard input ends (transparency-dev/witness);
//	                           prints its URL and its vkey
//	anchor feed URL VKEY       makes a log (golang.org/x/mod), prints its vkey, waits for a line, and has the witness
//	                           cosign it as it grows; answers "ok"
//	anchor fsck DIR VKEY NOTE  checks a log in the layout of tlog-tiles (transparency-dev/tessera), as the checkpoint in
//	                           the file NOTE below DIR has it; answers "ok"
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	f_note "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/fsck"
	"github.com/transparency-dev/witness/persistence/inmemory"
	"github.com/transparency-dev/witness/witness"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func main() {
	if len(os.Args) < 3 {
		fail("usage: anchor witness VKEY | feed URL VKEY | fsck DIR VKEY NOTE")
	}
	switch os.Args[1] {
	case "witness":
		serve(os.Args[2])
	case "feed":
		feed(os.Args[2], os.Args[3])
	case "fsck":
		check(os.Args[2], os.Args[3], os.Args[4])
	}
}

func serve(logKey string) {
	ctx := context.Background()
	verifier, err := note.NewVerifier(logKey)
	must(err)
	_, secret, err := ed25519.GenerateKey(rand.Reader)
	must(err)
	name := "witness.go.example"
	public := secret.Public().(ed25519.PublicKey)
	id := sha256.Sum256(append([]byte(name+"\n\x01"), public...))
	skey := fmt.Sprintf("PRIVATE+KEY+%s+%s+%s", name, hex.EncodeToString(id[:4]),
		base64.StdEncoding.EncodeToString(append([]byte{1}, secret.Seed()...)))
	signer, err := f_note.NewSignerForCosignatureV1(skey)
	must(err)
	w, err := witness.New(ctx, witness.Opts{
		Persistence: inmemory.New(),
		Signers:     []note.Signer{signer},
		VerifierForLog: func(_ context.Context, origin string) (note.Verifier, bool, error) {
			return verifier, origin == verifier.Name(), nil
		},
	})
	must(err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /add-checkpoint", witness.NewHTTPHandler(w).AddCheckpoint)
	go func() { must(http.Serve(listener, mux)) }()
	cosigner := sha256.Sum256(append([]byte(name+"\n\x04"), public...))
	fmt.Printf("http://%s\n%s+%s+%s\n", listener.Addr(), name, hex.EncodeToString(cosigner[:4]),
		base64.StdEncoding.EncodeToString(append([]byte{4}, public...)))
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func feed(url, witnessKey string) {
	skey, vkey, err := note.GenerateKey(rand.Reader, "feed.go.example/log")
	must(err)
	signer, err := note.NewSigner(skey)
	must(err)
	cosigner, err := f_note.NewVerifierForCosignatureV1(witnessKey)
	must(err)
	fmt.Println(vkey)
	_, err = bufio.NewReader(os.Stdin).ReadString('\n')
	must(err)
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			out[i] = stored[index]
		}
		return out, nil
	})
	var size, old int64
	for _, next := range []int64{1, 2, 5, 256, 257, 700} {
		for ; size < next; size++ {
			hashes, err := tlog.StoredHashes(size, []byte(fmt.Sprintf("record %d", size)), reader)
			must(err)
			stored = append(stored, hashes...)
		}
		root, err := tlog.TreeHash(size, reader)
		must(err)
		text := fmt.Sprintf("%s\n%d\n%s\n", signer.Name(), size, base64.StdEncoding.EncodeToString(root[:]))
		signed, err := note.Sign(&note.Note{Text: text}, signer)
		must(err)
		var body bytes.Buffer
		fmt.Fprintf(&body, "old %d\n", old)
		if old > 0 {
			proof, err := tlog.ProveTree(size, old, reader)
			must(err)
			for _, hash := range proof {
				fmt.Fprintln(&body, base64.StdEncoding.EncodeToString(hash[:]))
			}
		}
		fmt.Fprintf(&body, "\n%s", signed)
		response, err := http.Post(url+"/add-checkpoint", "text/plain", &body)
		must(err)
		lines, err := io.ReadAll(response.Body)
		must(err)
		if response.StatusCode != 200 {
			fail("size %d: %d %s", size, response.StatusCode, lines)
		}
		opened, err := note.Open(append(signed, lines...), note.VerifierList(cosigner))
		must(err)
		if len(opened.Sigs) != 1 {
			fail("size %d: %d cosignatures", size, len(opened.Sigs))
		}
		old = size
	}
	fmt.Println("ok")
}

// folder is a log in the layout of tlog-tiles.
type folder struct{ dir, checkpoint string }

func (f folder) read(path string) ([]byte, error) { return os.ReadFile(filepath.Join(f.dir, path)) }

func (f folder) ReadCheckpoint(context.Context) ([]byte, error) { return f.read(f.checkpoint) }

func (f folder) ReadTile(_ context.Context, l, i uint64, p uint8) ([]byte, error) {
	return f.read(layout.TilePath(l, i, p))
}

func (f folder) ReadEntryBundle(_ context.Context, i uint64, p uint8) ([]byte, error) {
	return f.read(layout.EntriesPath(i, p))
}

func check(dir, vkey, checkpoint string) {
	verifier, err := note.NewVerifier(vkey)
	must(err)
	hasher := func(data []byte) ([][]byte, error) {
		var bundle api.EntryBundle
		if err := bundle.UnmarshalText(data); err != nil {
			return nil, err
		}
		hashes := [][]byte{}
		for _, entry := range bundle.Entries {
			hashes = append(hashes, rfc6962.DefaultHasher.HashLeaf(entry))
		}
		return hashes, nil
	}
	// N is also how many differences can wait: of a log with more of them than that the check would hang.
	must(fsck.New(verifier.Name(), verifier, folder{dir, checkpoint}, hasher, fsck.Opts{N: 64}).Check(context.Background()))
	fmt.Println("ok")
}

func must(err error) {
	if err != nil {
		fail("%v", err)
	}
}

func fail(format string, args ...any) {
	fmt.Fprintln(os.Stderr, strings.TrimSpace(fmt.Sprintf(format, args...)))
	os.Exit(1)
}

