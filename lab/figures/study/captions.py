"""What each figure of a study shows, how it is read, and what would be surprising."""

NOTEBOOK = "08_an_honest_ablation"
CAPTIONS = {
    "forest": (
        "**Each mark is the mean gain over the seeds; to the right the variant is better.** Each line is a 95 % "
        "interval for its comparison alone. The words are stricter: corrected for all comparisons of the study (Holm), "
        "and in doubt of what seeds may do by luck on a task that only some of them solve. So a line may be clear of "
        "zero where the words say *not enough evidence*. *Better* and *worse* are tests against zero, *equal* is one "
        "against the ends of the shaded margin. The pale bar is the bootstrap of these few seeds: too narrow, and "
        "nothing rests on it."
    ),
    "loss_bands": (
        "**How surprised each variant was while it learned**: lower is better, a narrow band means that seeds agree. "
        "*Surprising would be:* a curve well below the floor, where one is drawn: only cheating gets there."
    ),
    "pareto": (
        "**What a score costs.** To the left is cheaper. A mark is hollow where another variant scores better in every "
        "seed for no more, or no worse for less; scores whose seeds overlap are ties, and so are costs that differ by "
        "less than their seeds, times also by up to 5 %. *Look for* a variant that is filled in one panel and hollow "
        "in another: whether it pays depends on what is scarce."
    ),
    "task_grid": (
        "**What each variant can do.** Colour means: settled, against the reference. Hatched: it counts for nothing, "
        "and the note says why; outlined: it reads the future. *Surprising would be:* a task that the control fails."
    ),
    "rate_sweep": (
        "**Each variant got the best of the learning rates that were tried**, chosen with a seed that does not count. "
        "Hollow marks on thin lines were stopped early: their scores are those of shorter trainings. *Suspicious is* a "
        "rate at the edge: a better one may lie beyond, and the score is then too low."
    ),
}
