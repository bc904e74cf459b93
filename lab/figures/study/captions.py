"""What each figure of a study shows, how it is read, and what would be surprising."""

NOTEBOOK = "08_an_honest_ablation"
CAPTIONS = {
    "forest": (
        "**Each mark is the mean gain over the seeds, each line where the truth probably lies.** Clear of zero: "
        "probably a difference. Inside the shaded margin: one that does not matter. The words beside it are stricter "
        "than the lines, for they allow for all comparisons of the study. *Surprising would be:* a wide line and a "
        "clear verdict."
    ),
    "loss_bands": (
        "**How surprised each variant was while it learned**: lower is better, a narrow band means that seeds agree. "
        "*Surprising would be:* a curve below the floor, where one is drawn: only cheating gets there."
    ),
    "pareto": (
        "**What a score costs.** To the left is cheaper; filled marks are those that nothing beats in both. *Look for* "
        "a variant that is filled in one panel and hollow in another: whether it pays depends on what is scarce."
    ),
    "task_grid": (
        "**What each variant can do.** Colour means: settled, against the reference. Hatched: it counts for nothing, "
        "and the note says why. *Surprising would be:* a task that the control fails."
    ),
    "rate_sweep": (
        "**Each variant got the best of the learning rates that were tried**, chosen with a seed that does not count. "
        "*Suspicious is* a rate at the edge: a better one may lie beyond, and the score is then too low."
    ),
}
