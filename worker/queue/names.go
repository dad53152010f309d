package queue

import (
	"regexp"
	"strings"

	"dgworker/rules"
)

// Names derives every subject and stream name from the prefix, so that no other file spells one.
type Names struct{ Prefix string }

var notInNames = regexp.MustCompile(`[^A-Z0-9]`)

// Stream returns the name of the stream of what ("PROMPTS"): the prefix in upper case, since a stream's name holds no dot.
func (n Names) Stream(what string) string {
	return notInNames.ReplaceAllString(strings.ToUpper(n.Prefix), "_") + "_" + what
}

// Prompts is the subject of prompts for bot that are taken in parallel.
func (n Names) Prompts(bot string) string { return n.Prefix + ".prompts." + bot }

// Lane is the subject of prompts for bot that keep their order; "*" stands for every lane.
func (n Names) Lane(bot, lane string) string { return n.Prompts(bot) + "." + lane }

func (n Names) queued(bot, lane, prompt string) string {
	return n.Prefix + ".lanes." + bot + "." + lane + "." + prompt
}

func (n Names) ready(bot, lane string) string { return n.Prefix + ".ready." + bot + "." + lane }

// Journal is the subject of a prompt's journal.
func (n Names) Journal(prompt string) string {
	return n.Prefix + ".journal." + rules.EncodeToken(prompt)
}

// Outcome is the subject of a prompt's outcome; "*" stands for any bot, status or prompt.
func (n Names) Outcome(bot, status, prompt string) string {
	if prompt != "*" {
		prompt = rules.EncodeToken(prompt)
	}
	return n.Prefix + ".outcomes." + bot + "." + status + "." + prompt
}

// fence is the subject of what keeps out the outcomes of those who held a prompt before. It is no outcome's, so that nobody
// who reads outcomes sees it, and has as many tokens, so that one wildcard holds for both: see settling. "*" stands for any prompt.
func (n Names) fence(prompt string) string {
	if prompt != "*" {
		prompt = rules.EncodeToken(prompt)
	}
	return n.Prefix + ".fences.prompts.taken." + prompt
}

// settling holds the prompt's outcome and its fence.
func (n Names) settling(prompt string) string {
	return n.Prefix + ".*.*.*." + rules.EncodeToken(prompt)
}

// DeadPrompt is the subject of a prompt's dead letter.
func (n Names) DeadPrompt(bot, prompt string) string {
	return n.Prefix + ".dead.prompts." + bot + "." + rules.EncodeToken(prompt)
}

// DeadEvent is the subject of the dead letter of an event; "*" stands for any trigger.
func (n Names) DeadEvent(trigger, id string) string {
	return n.Prefix + ".dead.events." + trigger + "." + rules.EncodeToken(id)
}

// Schedule is the subject of a scheduled trigger's schedule; "*" stands for any trigger.
func (n Names) Schedule(trigger string) string { return n.Prefix + ".cron.schedules." + trigger }

// Due is the subject on which a scheduled trigger's schedule publishes.
func (n Names) Due(trigger string) string { return n.Prefix + ".cron.due." + trigger }

// split returns the tokens of subject after the prefix and the word that follows it.
func (n Names) split(subject string) []string {
	rest := strings.TrimPrefix(subject, n.Prefix+".")
	_, rest, _ = strings.Cut(rest, ".")
	return strings.Split(rest, ".")
}
