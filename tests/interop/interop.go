// SPDX-License-Identifier: Apache-2.0

// interop reads what Aorta publishes with another implementation of the formats, golang.org/x/mod/sumdb's note and
// tlog, and makes logs, notes and proofs with it for Aorta's programs to read.
//
//	interop check URL VKEY PROOFS CONSISTENCY   PROOFS: a folder of .tlog-proof files; CONSISTENCY: a JSON object a line
//	interop make FOLDER NAME SIZE OLD LEAF SEALED KEYHASH
//	interop serve FOLDER ADDRESS
package main

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	height     = 8
	tileWidth  = 1 << height
	entryBytes = 38
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		os.Exit(1)
	}
}

// c2sp is the path of C2SP tlog-tiles, which has no height in it: tile/8/0/x001/067.p/5 is tile/0/x001/067.p/5.
func c2sp(path string) string {
	return strings.Replace(path, "tile/8/", "tile/", 1)
}

func bundlePath(n int64, width int) string {
	t := tlog.Tile{H: height, L: 0, N: n, W: width}
	return strings.Replace(c2sp(t.Path()), "tile/0/", "tile/entries/", 1)
}

// parseCheckpoint reads origin, size and root.
func parseCheckpoint(text string) (string, tlog.Tree, error) {
	lines := strings.Split(text, "\n")
	if len(lines) < 4 {
		return "", tlog.Tree{}, errors.New("checkpoint: too few lines")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return "", tlog.Tree{}, err
	}
	root, err := tlog.ParseHash(lines[2])
	return lines[0], tlog.Tree{N: size, Hash: root}, err
}

func openCheckpoint(msg []byte, vkey string) (tlog.Tree, error) {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return tlog.Tree{}, err
	}
	n, err := note.Open(msg, note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, err
	}
	origin, tree, err := parseCheckpoint(n.Text)
	if err == nil && origin != verifier.Name() {
		err = fmt.Errorf("checkpoint of %q, key of %q", origin, verifier.Name())
	}
	return tree, err
}

// ---- check ----

var client = &http.Client{Timeout: 30 * time.Second}

type reader struct{ url string }

func (r reader) get(path string) ([]byte, error) {
	response, err := client.Get(r.url + "/" + path)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, response.Status)
	}
	return io.ReadAll(io.LimitReader(response.Body, 1<<20))
}

func (r reader) Height() int { return height }

func (r reader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, t := range tiles {
		data, err := r.get(c2sp(t.Path()))
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}

func (r reader) SaveTiles(tiles []tlog.Tile, data [][]byte) {}

func (r reader) entries(size int64) ([][]byte, error) {
	var all [][]byte
	for n := int64(0); n*tileWidth < size; n++ {
		width := tileWidth
		if size-n*tileWidth < tileWidth {
			width = int(size - n*tileWidth)
		}
		data, err := r.get(bundlePath(n, width))
		if err != nil {
			return nil, err
		}
		for i := 0; i < width; i++ {
			if len(data) < 2 || len(data) < 2+int(binary.BigEndian.Uint16(data)) {
				return nil, fmt.Errorf("bundle %d ends early", n)
			}
			bytes := int(binary.BigEndian.Uint16(data))
			all = append(all, data[2:2+bytes])
			data = data[2+bytes:]
		}
		if len(data) != 0 {
			return nil, fmt.Errorf("bundle %d has %d bytes more", n, len(data))
		}
	}
	return all, nil
}

func checkProof(file, vkey string, entries [][]byte, hashes tlog.HashReader) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	head, msg, found := bytes.Cut(text, []byte("\n\n"))
	if !found {
		return errors.New("no empty line")
	}
	tree, err := openCheckpoint(msg, vkey)
	if err != nil {
		return err
	}
	lines := strings.Split(string(head), "\n")
	if len(lines) < 2 || lines[0] != "c2sp.org/tlog-proof@v1" || !strings.HasPrefix(lines[1], "index ") {
		return errors.New("not a tlog-proof")
	}
	index, err := strconv.ParseInt(lines[1][len("index "):], 10, 64)
	if err != nil {
		return err
	}
	var proof tlog.RecordProof
	for _, line := range lines[2:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return err
		}
		proof = append(proof, hash)
	}
	own, err := tlog.ProveRecord(tree.N, index, hashes)
	if err != nil {
		return err
	}
	if fmt.Sprint(own) != fmt.Sprint(proof) {
		return errors.New("not the proof that tlog makes")
	}
	return tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(entries[index]))
}

func checkConsistency(line []byte, hashes tlog.HashReader) error {
	var got struct {
		Old     int64       `json:"old"`
		New     int64       `json:"new"`
		OldRoot tlog.Hash   `json:"old_root"`
		NewRoot tlog.Hash   `json:"new_root"`
		Hashes  []tlog.Hash `json:"hashes"`
	}
	if err := json.Unmarshal(line, &got); err != nil {
		return err
	}
	for _, end := range []tlog.Tree{{N: got.Old, Hash: got.OldRoot}, {N: got.New, Hash: got.NewRoot}} {
		root, err := tlog.TreeHash(end.N, hashes)
		if err != nil {
			return err
		}
		if root != end.Hash {
			return fmt.Errorf("not the root of %d leaves", end.N)
		}
	}
	own, err := tlog.ProveTree(got.New, got.Old, hashes)
	if err != nil {
		return err
	}
	if fmt.Sprint(own) != fmt.Sprint(tlog.TreeProof(got.Hashes)) {
		return fmt.Errorf("%d to %d: not the proof that tlog makes", got.Old, got.New)
	}
	return tlog.CheckTree(got.Hashes, got.New, got.NewRoot, got.Old, got.OldRoot)
}

func check(url, vkey, proofs, consistency string) {
	r := reader{url}
	msg, err := r.get("checkpoint")
	must(err)
	tree, err := openCheckpoint(msg, vkey)
	must(err)
	// What this reads it checks against the tree's root.
	hashes := tlog.TileHashReader(tree, r)
	entries, err := r.entries(tree.N)
	must(err)
	var indexes []int64
	for i := range entries {
		indexes = append(indexes, tlog.StoredHashIndex(0, int64(i)))
	}
	stored, err := hashes.ReadHashes(indexes)
	must(err)
	for i, entry := range entries {
		if stored[i] != tlog.RecordHash(entry) {
			must(fmt.Errorf("entry %d has not the hash of its tile", i))
		}
	}
	root, err := tlog.TreeHash(tree.N, hashes)
	must(err)
	if root != tree.Hash {
		must(errors.New("another root"))
	}
	files, err := filepath.Glob(filepath.Join(proofs, "*.tlog-proof"))
	must(err)
	for _, file := range files {
		if err := checkProof(file, vkey, entries, hashes); err != nil {
			must(fmt.Errorf("%s: %w", filepath.Base(file), err))
		}
	}
	text, err := os.ReadFile(consistency)
	must(err)
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	for _, line := range lines {
		must(checkConsistency(line, hashes))
	}
	fmt.Printf("%d leaves, %d proofs, %d consistency proofs\n", tree.N, len(files), len(lines))
}

// ---- make ----

// memory is a log in memory: tlog's stored hashes.
type memory struct{ hashes []tlog.Hash }

func (m *memory) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var out []tlog.Hash
	for _, i := range indexes {
		out = append(out, m.hashes[i])
	}
	return out, nil
}

func (m *memory) add(n int64, entry []byte) {
	more, err := tlog.StoredHashes(n, entry, m)
	must(err)
	m.hashes = append(m.hashes, more...)
}

func write(path string, data []byte) {
	must(os.MkdirAll(filepath.Dir(path), 0o755))
	must(os.WriteFile(path, data, 0o644))
}

// entryOf makes the ledger's entry for a sealed record, by docs/formats.md alone.
func entryOf(sealedFile, keyHash string) []byte {
	sealed, err := os.ReadFile(sealedFile)
	must(err)
	hash, err := hex.DecodeString(keyHash)
	must(err)
	digest := sha256.Sum256(append(hash, sealed...))
	minute := binary.LittleEndian.Uint64(sealed[48:]) / 60_000_000_000
	entry := []byte{1, sealed[1]}
	entry = binary.BigEndian.AppendUint32(entry, uint32(minute))
	return append(entry, digest[:]...)
}

func signed(name string, size int64, root tlog.Hash, signer note.Signer) []byte {
	text := fmt.Sprintf("%s\n%d\n%s\n", name, size, base64.StdEncoding.EncodeToString(root[:]))
	msg, err := note.Sign(&note.Note{Text: text}, signer)
	must(err)
	return msg
}

func makeLog(folder, name string, size, old, leaf int64, sealed, keyHash string) {
	skey, vkey, err := note.GenerateKey(rand.Reader, name)
	must(err)
	signer, err := note.NewSigner(skey)
	must(err)
	m := &memory{}
	var bundle []byte
	for n := int64(0); n < size; n++ {
		entry := make([]byte, entryBytes)
		if n == leaf {
			entry = entryOf(sealed, keyHash)
		} else {
			_, err := rand.Read(entry)
			must(err)
		}
		m.add(n, entry)
		bundle = binary.BigEndian.AppendUint16(bundle, entryBytes)
		bundle = append(bundle, entry...)
		if width := int(n%tileWidth) + 1; width == tileWidth || n == size-1 {
			write(filepath.Join(folder, "log", bundlePath(n/tileWidth, width)), bundle)
			bundle = nil
		}
	}
	for _, t := range tlog.NewTiles(height, 0, size) {
		data, err := tlog.ReadTileData(t, m)
		must(err)
		write(filepath.Join(folder, "log", c2sp(t.Path())), data)
	}
	root, err := tlog.TreeHash(size, m)
	must(err)
	checkpoint := signed(name, size, root, signer)
	write(filepath.Join(folder, "log", "checkpoint"), checkpoint)
	oldRoot, err := tlog.TreeHash(old, m)
	must(err)
	write(filepath.Join(folder, "old.checkpoint"), signed(name, old, oldRoot, signer))
	// What a log signs that shows different trees to different people.
	write(filepath.Join(folder, "fork.checkpoint"), signed(name, old, root, signer))
	write(filepath.Join(folder, "vkey"), []byte(vkey+"\n"))
	proof, err := tlog.ProveRecord(size, leaf, m)
	must(err)
	text := fmt.Sprintf("c2sp.org/tlog-proof@v1\nindex %d\n", leaf)
	for _, hash := range proof {
		text += base64.StdEncoding.EncodeToString(hash[:]) + "\n"
	}
	write(filepath.Join(folder, "leaf.tlog-proof"), []byte(text+"\n"+string(checkpoint)))
}

func number(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	must(err)
	return n
}

func main() {
	arguments := os.Args[1:]
	switch {
	case len(arguments) == 5 && arguments[0] == "check":
		check(arguments[1], arguments[2], arguments[3], arguments[4])
	case len(arguments) == 8 && arguments[0] == "make":
		makeLog(arguments[1], arguments[2], number(arguments[3]), number(arguments[4]), number(arguments[5]), arguments[6], arguments[7])
	case len(arguments) == 3 && arguments[0] == "serve":
		must(http.ListenAndServe(arguments[2], http.FileServer(http.Dir(arguments[1]))))
	default:
		fmt.Fprintln(os.Stderr, "usage: interop check|make|serve ...: see the source")
		os.Exit(2)
	}
}
