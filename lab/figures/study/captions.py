"""What each figure of a study shows, how it is read, and what would be surprising."""

NOTEBOOK = "08_an_honest_ablation"
CAPTIONS = {
    "forest": (
        "**Each mark is the mean gain over the seeds, each line where the truth probably lies.** Clear of the shaded "
        "margin: a difference that matters. Inside it: equal. Across its border: not enough evidence. *Surprising "
        "would be:* a wide line and a clear verdict."
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
        "**Each variant got the learning rate that suits it**, chosen with a seed that does not count. *Suspicious is* "
        "a rate at the edge: a better one may lie beyond, and the variant is then sold too cheap."
    ),
}
