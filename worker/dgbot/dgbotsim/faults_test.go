package dgbotsim

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
)

const toolAndStream = "replies:\n- steps: [{tool: a}, {stream: {chunks: [x, y], id: m}}]\n"

// lastFrame returns the type of the last frame before a cut, "" if nothing came and "whole" if the answer did.
func lastFrame(v *visitor) string {
	last := ""
	for {
		_, b, err := v.ws.ReadMessage()
		if err != nil {
			return last
		}
		var f struct{ Type string }
		if json.Unmarshal(b, &f); f.Type == "stream_end" {
			return "whole"
		}
		last = f.Type
	}
}

func TestFaultSpots(t *testing.T) {
	t.Parallel()
	for spot, want := range map[Spot]string{
		BeforeTool: "", DuringTool: "tool_action", AfterTool: "tool_action_result", MidStream: "stream_chunk",
	} {
		sim := start(t, scripted(t, toolAndStream), WithFaults(Faults{Drop: 1, Spots: []Spot{spot}}))
		for i := range 5 {
			v := connect(t, sim, fmt.Sprint(i))
			v.say("x")
			if got := lastFrame(v); got != want { // what was written arrives also before a reset: it is read first
				t.Errorf("spot %d: cut after %q, want %q", spot, got, want)
			}
		}
		if s := sim.Stats(); s.Dropped != 5 {
			t.Errorf("spot %d: %d cuts of 5", spot, s.Dropped)
		}
	}
}

func TestFaultsFollowTheirSeed(t *testing.T) {
	t.Parallel()
	run := func(seed uint64) (cuts []string, refused int) {
		sim := start(t, scripted(t, toolAndStream), WithFaults(Faults{Seed: seed, Drop: 0.5, Refuse: 0.3}))
		for i := range 60 {
			id := fmt.Sprint("v", i%20)
			ws, resp, err := handshake(sim, "demo", id)
			if err != nil {
				if resp.StatusCode != 503 {
					t.Errorf("refused with %d", resp.StatusCode)
				}
				refused++
				continue
			}
			v := &visitor{t, ws}
			v.say("x")
			if lastFrame(v) != "whole" {
				cuts = append(cuts, fmt.Sprint(id, i/20))
			}
			_ = ws.Close()
		}
		return cuts, refused
	}
	cuts, refused := run(1)
	again, refusedAgain := run(1)
	if !slices.Equal(cuts, again) || refused != refusedAgain {
		t.Errorf("the same seed cut %v and then %v", cuts, again)
	}
	if len(cuts) < 8 || len(cuts) > 35 || refused < 6 || refused > 32 {
		t.Errorf("%d cuts and %d refusals of 60, where 21 and 18 are to be expected", len(cuts), refused)
	}
	if other, _ := run(2); slices.Equal(cuts, other) {
		t.Error("another seed cut the same")
	}
}
