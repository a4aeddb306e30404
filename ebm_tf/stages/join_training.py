"""JoinTraining: this process's share of a training whose chief is another one; part of no task, see the command join.

Keeps nothing but joined.json, which says what was done.
"""

from __future__ import annotations

from ebm_tf.datasets.store import Store
from ebm_tf.stages.context import Context
from ebm_tf.stages.together import build_trainer, joined_team
from ebm_tf.training.following import follow


def run(context: Context) -> None:
    store, incoming = Store(context.inputs["PrepareDataset"]), context.work / "incoming"
    incoming.mkdir(parents=True, exist_ok=True)
    with joined_team(context, store, incoming) as team:
        trainer = build_trainer(context, store, team.strategy())
        steps = follow(
            trainer,
            store.images("train"),
            store.labels("train"),
            context.section("health"),
            team.state,
            incoming,
            bool(context.section("selection").every),
            context.progress,
        )
    context.write_json("joined.json", {"steps": steps})
