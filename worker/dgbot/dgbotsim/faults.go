package dgbotsim

import (
	"context"
	"hash/fnv"
	"math/rand/v2"
	"slices"
)

// Spot is a place in an answer where a fault may cut the connection.
type Spot int

// The spots. A cut is by reset or without, one as likely as the other.
const (
	BeforeTool Spot = iota + 1 // before tool_action
	DuringTool                 // after tool_action, when the tool has all but returned
	AfterTool                  // right after tool_action_result
	MidStream                  // after a chunk
)

// Faults makes connections fail at random, the same way for the same seed: a draw depends on the seed, the visitor and
// how many connections and messages that visitor has had, not on the timing.
type Faults struct {
	Seed   uint64
	Drop   float64 // probability from 0 to 1 that an answer is cut at one of its spots
	Refuse float64 // probability that a handshake is refused with 503
	Spots  []Spot  // where answers may be cut. Defaults to all.
}

// draw returns the random numbers for one occasion of one visitor.
func (f Faults) draw(occasion, key, visitor string, n int) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(occasion + "\x00" + key + "\x00" + visitor)) // never fails
	return rand.New(rand.NewPCG(f.Seed, h.Sum64()+uint64(n)*0x9E3779B97F4A7C15))
}

func (f Faults) refuses(key, visitor string, n int) bool {
	return f.Refuse > 0 && f.draw("connect", key, visitor, n).Float64() < f.Refuse
}

// cut puts a drop into the acts of an answer, if the draw says so and there is a spot for it.
func (f Faults) cut(acts []act, r *rand.Rand, dropped func()) []act {
	if f.Drop <= 0 || r.Float64() >= f.Drop {
		return acts
	}
	var places []int
	for i, a := range acts {
		if slices.ContainsFunc(a.spots, f.allows) {
			places = append(places, i)
		}
	}
	if len(places) == 0 {
		return acts
	}
	reset := r.IntN(2) == 0
	return slices.Insert(acts, places[r.IntN(len(places))], act{do: func(_ context.Context, to *conn) error {
		dropped()
		to.drop(reset)
		return nil
	}})
}

func (f Faults) allows(s Spot) bool { return len(f.Spots) == 0 || slices.Contains(f.Spots, s) }
