// Verify checks an exported log with Go's own golang.org/x/mod/sumdb/note and sumdb/tlog: nothing in here shares code with
// this project. Usage: verify DIR, where DIR holds checkpoint, log.vkey, entries.jsonl, checkpoints/, proofs/*.tlog-proof,
// consistency/OLDSIZE (one base64 hash a line) and tile/.
package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

var dir = os.Args[1]

func check(err error, what string) {
	if err != nil {
		fmt.Printf("refused: %s: %v\n", what, err)
		os.Exit(1)
	}
}

func require(holds bool, what string) {
	if !holds {
		fmt.Printf("refused: %s\n", what)
		os.Exit(1)
	}
}

func read(name string) []byte {
	data, err := os.ReadFile(filepath.Join(dir, name))
	check(err, name)
	return data
}

func glob(pattern string) []string {
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	check(err, pattern)
	for i, name := range names {
		names[i], err = filepath.Rel(dir, name)
		check(err, name)
	}
	return names
}

// open verifies a signed note and reads the three lines of C2SP tlog-checkpoint.
func open(text []byte, verifier note.Verifier) tlog.Tree {
	opened, err := note.Open(text, note.VerifierList(verifier))
	check(err, "note")
	lines := strings.Split(opened.Text, "\n")
	require(len(lines) == 4 && lines[0] == verifier.Name(), "checkpoint lines")
	size, err := strconv.ParseInt(lines[1], 10, 64)
	check(err, "checkpoint size")
	hash, err := tlog.ParseHash(lines[2])
	check(err, "checkpoint root")
	return tlog.Tree{N: size, Hash: hash}
}

func parseHashes(lines []string) []tlog.Hash {
	hashes := []tlog.Hash{}
	for _, line := range lines {
		hash, err := tlog.ParseHash(line)
		check(err, "hash in a proof")
		hashes = append(hashes, hash)
	}
	return hashes
}

func splitLines(text []byte) []string {
	trimmed := strings.TrimSuffix(string(text), "\n")
	if trimmed == "" {
		return nil
	}
	return strings.Split(trimmed, "\n")
}

// tiles reads this log's tiles: C2SP leaves out the height, which sumdb writes as tile/8/.
type tiles struct{}

func (tiles) Height() int { return 8 }
func (tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	data := [][]byte{}
	for _, tile := range wanted {
		data = append(data, read(strings.Replace(tile.Path(), "tile/8/", "tile/", 1)))
	}
	return data, nil
}
func (tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func main() {
	verifier, err := note.NewVerifier(string(read("log.vkey")))
	check(err, "log.vkey")
	tree := open(read("checkpoint"), verifier)

	stored := []tlog.Hash{}
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		hashes := []tlog.Hash{}
		for _, index := range indexes {
			hashes = append(hashes, stored[index])
		}
		return hashes, nil
	})
	entries := bytes.Split(bytes.TrimSuffix(read("entries.jsonl"), []byte("\n")), []byte("\n"))
	require(int64(len(entries)) == tree.N, "number of entries")
	for i, entry := range entries {
		hashes, err := tlog.StoredHashes(int64(i), entry, reader)
		check(err, "stored hashes")
		stored = append(stored, hashes...)
	}
	root, err := tlog.TreeHash(tree.N, reader)
	check(err, "tree hash")
	require(root == tree.Hash, "root of the entries")

	earlier := glob("checkpoints/*")
	for _, name := range earlier {
		old := open(read(name), verifier)
		made, err := tlog.ProveTree(tree.N, old.N, reader)
		check(err, "making a consistency proof")
		check(tlog.CheckTree(made, tree.N, tree.Hash, old.N, old.Hash), "consistency with "+name)
		given := parseHashes(splitLines(read("consistency/" + filepath.Base(name))))
		check(tlog.CheckTree(given, tree.N, tree.Hash, old.N, old.Hash), "consistency proof to "+name)
	}

	proofs := glob("proofs/*.tlog-proof")
	for _, name := range proofs {
		parts := strings.SplitN(string(read(name)), "\n\n", 2)
		require(len(parts) == 2, "parts of "+name)
		lines := strings.Split(parts[0], "\n")
		require(lines[0] == "c2sp.org/tlog-proof@v1", "first line of "+name)
		index, err := strconv.ParseInt(strings.TrimPrefix(lines[1], "index "), 10, 64)
		check(err, "index of "+name)
		of := open([]byte(parts[1]), verifier)
		record := tlog.RecordHash(entries[index])
		check(tlog.CheckRecord(parseHashes(lines[2:]), of.N, of.Hash, index, record), name)
	}

	// The reader authenticates each tile against the root before it believes a hash in it.
	authenticated := tlog.TileHashReader(tree, tiles{})
	for i := range entries {
		proof, err := tlog.ProveRecord(tree.N, int64(i), authenticated)
		check(err, "proof out of tiles")
		check(tlog.CheckRecord(proof, tree.N, tree.Hash, int64(i), tlog.RecordHash(entries[i])), "record out of tiles")
	}
	for n := int64(0); n*256 < tree.N; n++ {
		width := tree.N - n*256
		if width > 256 {
			width = 256
		}
		tile := tlog.Tile{H: 8, L: -1, N: n, W: int(width)}
		bundle := read(strings.Replace(tile.Path(), "tile/8/data/", "tile/entries/", 1))
		for _, entry := range entries[n*256 : n*256+width] {
			length := int(bundle[0])<<8 | int(bundle[1])
			require(length == len(entry) && bytes.Equal(bundle[2:2+length], entry), "entry bundle "+strconv.Itoa(int(n)))
			bundle = bundle[2+length:]
		}
		require(len(bundle) == 0, "end of an entry bundle")
	}
	fmt.Printf("accepted: %d entries, %d checkpoints, %d proofs, root %s\n", tree.N, len(earlier), len(proofs), base64.StdEncoding.EncodeToString(tree.Hash[:]))
}
