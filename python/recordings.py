"""Makes fixtures/recordings: short runs of public packages with one known cause each, written by perpend_recorder.

    python recordings.py torch|optax|keras [--out ../fixtures/recordings]

Every run trains two tables (20 items, 8 users, d = 8) on random pairs with InfoNCE on cosines; what is between gradient
and table is the package's own. The header says what somebody who forgot the cause would declare; truth.tsv says what
is true.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from perpend_recorder import Recorder

ITEMS, USERS, DIM, PAIRS, STEPS = 20, 8, 8, 8, 12
TEMPERATURE = 0.25
FROZEN = 5
"""The frozen rows of a run with frozen rows: the first ones, which are the popular ones."""
AVERAGED = "q is an exponential average, {}; gradients are those of what is averaged"
LOSS = {"similarity": "cosine", "temperature": TEMPERATURE, "loss": "info-nce"}


@dataclass(frozen=True)
class Truth:
    """A line of truth.tsv; empty where it does not apply."""

    run: str
    cause: str = "none"
    setting: str = ""
    optimizer: str = "sgd"
    lr: str = ""
    momentum: str = "0"
    nesterov: str = "false"
    weight_decay: str = "0"
    rows: str = "dense"
    similarity: str = "cosine"
    dtype: str = "float32"
    package: str = ""


@dataclass(frozen=True)
class Case:
    """One run: what is true of it, and how it is made at a path."""

    truth: Truth
    make: Callable[[Path], None]


def data(seed: int = 0, std: float = 0.5) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], list[Any]]:
    """Initial tables, and pairs of users and Zipf-popular items for each step."""
    random = np.random.default_rng(seed)
    items, users = random.normal(0, std, (ITEMS, DIM)), random.normal(0, std, (USERS, DIM))
    popularity = 1 / np.arange(1, ITEMS + 1)
    pairs = [
        (random.integers(USERS, size=PAIRS), random.choice(ITEMS, PAIRS, p=popularity / popularity.sum()))
        for _ in range(STEPS)
    ]
    return items, users, pairs


# Rules of a package that go by a name of the trajectory format and have another formula.
OTHER_FORMULAS = ("adagrad", "amsgrad", "rmsprop", "lamb", "lars")


def declaration(truth: Truth) -> dict[str, Any]:
    """The optimizer of the header, where the package does not say it itself: what is true but for the cause."""
    package = truth.run.partition("_")[0]
    if truth.optimizer in OTHER_FORMULAS:
        return {"name": f"{package}.{truth.optimizer}", "lr": float(truth.lr)}
    decay = float(truth.weight_decay)
    declared: dict[str, Any] = {"name": truth.optimizer, "lr": float(truth.lr), "weight_decay": decay}
    if truth.optimizer == "sgd":
        declared |= {"momentum": float(truth.momentum), "nesterov": truth.nesterov == "true"}
    if decay:
        declared["decoupled"] = "decoupled" in truth.setting
    if truth.optimizer == "adam" and package == "keras":
        declared["eps"] = 1e-7
    return declared


# PyTorch


def torch_cases() -> list[Case]:
    import torch

    from perpend_recorder.torch import TorchRecorder

    functional = torch.nn.functional
    torch.set_num_threads(1)

    def normalised(u: Any, q: Any) -> Any:
        return functional.normalize(u) @ functional.normalize(q).T

    def cosine(u: Any, q: Any) -> Any:
        return functional.cosine_similarity(u[:, None], q[None], dim=-1)

    def detached(u: Any, q: Any) -> Any:
        return (u / u.norm(dim=1, keepdim=True).detach()) @ (q / q.norm(dim=1, keepdim=True).detach()).T

    def joint(u: Any, q: Any) -> Any:
        return (u / u.norm()) @ (q / q.norm()).T * len(u)

    def train(
        path: Path,
        optimizer: Callable[[Any], Any],
        *,
        similarity: Callable[[Any, Any], Any] = normalised,
        dtype: Any = torch.float32,
        sparse: bool = False,
        max_norm: float | None = None,
        before_step: Callable[[list[Any]], object] = lambda tables: None,
        after_step: Callable[[list[Any]], object] = lambda tables: None,
        scaler: Any = None,
        schedule: Callable[[Any], Any] | None = None,
        average: float | None = None,
        accumulate: int = 1,
        std: float = 0.5,
        **settings: Any,
    ) -> None:
        items, users, pairs = data(std=std)
        tables = [
            torch.nn.Embedding(*table.shape, sparse=sparse, max_norm=max_norm, dtype=dtype) for table in (items, users)
        ]
        with torch.no_grad():
            for table, values in zip(tables, (items, users), strict=True):
                table.weight.copy_(torch.from_numpy(values))
        weights = [table.weight for table in tables]
        moved = optimizer(weights)
        scheduler = schedule(moved) if schedule else None
        precision = str(dtype).removeprefix("torch.")
        recorder = TorchRecorder(path, force=True, **{**LOSS, "param_dtype": precision, **settings})
        averaged = None
        if average is not None:
            averaged = torch.optim.swa_utils.AveragedModel(
                torch.nn.ModuleList(tables), multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(average)
            )
            averaged.update_parameters(torch.nn.ModuleList(tables))
            for place, name in enumerate(("item", "user")):
                recorder.watch(name, lambda place=place: averaged.module[place].weight, encoder="id")  # type: ignore[union-attr]
                recorder.declare(name, optimizer={"name": "sgd", "lr": moved.param_groups[0]["lr"]})
        else:
            for name, table in zip(("item", "user"), tables, strict=True):
                recorder.watch(name, table, moved)
        for number, (user_ids, item_ids) in enumerate(pairs):
            u_ids, q_ids = torch.from_numpy(user_ids), torch.from_numpy(item_ids)
            with recorder.step(user=u_ids, item=q_ids, users=u_ids, positives=q_ids) as step:
                if number % accumulate == 0:
                    moved.zero_grad()
                logits = similarity(tables[1](u_ids), tables[0](q_ids)).float() / TEMPERATURE
                if dtype == torch.float64:
                    logits = similarity(tables[1](u_ids), tables[0](q_ids)) / TEMPERATURE
                loss = functional.cross_entropy(logits, torch.arange(len(u_ids)))
                (scaler.scale(loss) if scaler else loss).backward()
                if averaged is not None:
                    for name, table in zip(("item", "user"), tables, strict=True):
                        step.gradient(name, table.weight.grad)
                before_step(weights)
                if (number + 1) % accumulate == 0:
                    if scaler:
                        scaler.step(moved)
                        scaler.update()
                    else:
                        moved.step()
                after_step(weights)
                if averaged is not None:
                    averaged.update_parameters(torch.nn.ModuleList(tables))
                step.loss = loss
            if scheduler:
                scheduler.step()
        recorder.close()

    @torch.no_grad()
    def freeze(tables: list[Any]) -> None:
        tables[0].grad[:FROZEN] = 0

    @torch.no_grad()
    def to_the_sphere(tables: list[Any]) -> None:
        for table in tables:
            table.div_(table.norm(dim=1, keepdim=True))

    def sgd(lr: float = 0.5, **options: Any) -> Callable[[Any], Any]:
        return lambda tables: torch.optim.SGD(tables, lr, **options)

    rule = torch.optim
    clip = torch.nn.utils
    package = f"torch {torch.__version__.partition('+')[0]}"

    def case(run: str, make: Callable[[Any], Any], truth: dict[str, Any] | None = None, **options: Any) -> Case:
        known = {"lr": "0.5", **(truth or {})}
        return Case(Truth(f"torch_{run}", package=package, **known), lambda path: train(path, make, **options))

    def adaptive(name: str, lr: float, **more: str) -> dict[str, str]:
        return {"optimizer": name, "lr": str(lr), "momentum": "", **more}

    annealed = "cosine annealing to 0 over 12 steps"
    return [
        case("sgd", sgd()),
        case("sgd_f64", sgd(), {"dtype": "float64"}, dtype=torch.float64),
        case("cosine_similarity_sgd", sgd(), similarity=cosine),
        case("momentum", sgd(momentum=0.9), {"momentum": "0.9"}),
        case("momentum_dampened", sgd(momentum=0.9, dampening=0.5), {"momentum": "0.9", "setting": "dampening 0.5"}),
        case(
            "nesterov_decay",
            sgd(momentum=0.8, nesterov=True, weight_decay=0.02),
            {"momentum": "0.8", "nesterov": "true", "weight_decay": "0.02"},
        ),
        case("sparse_sgd", sgd(), {"rows": "lazy"}, sparse=True),
        case(
            "clip_grad_value",
            sgd(),
            {"cause": "value-clipping", "setting": "0.01"},
            before_step=lambda tables: clip.clip_grad_value_(tables, 0.01),
        ),
        case(
            "clip_grad_norm",
            sgd(),
            {"cause": "norm-clipping", "setting": "0.1, both towers together"},
            before_step=lambda tables: clip.clip_grad_norm_(tables, 0.1),
        ),
        case(
            "clip_grad_norm_momentum",
            sgd(momentum=0.9),
            {"cause": "norm-clipping", "setting": "0.1, both towers together", "momentum": "0.9"},
            before_step=lambda tables: clip.clip_grad_norm_(tables, 0.1),
        ),
        case(
            "grad_scaler",
            sgd(),
            {"cause": "loss-scaling", "setting": "1024"},
            scaler=torch.amp.GradScaler("cpu", init_scale=1024.0),
        ),
        case(
            "embedding_max_norm",
            sgd(),
            {"cause": "max-norm", "setting": "1.2, at each lookup, before the gradient"},
            max_norm=1.2,
        ),
        case(
            "unit_norm_after_step",
            sgd(),
            {"cause": "renormalisation", "setting": "to 1, all rows"},
            after_step=to_the_sphere,
        ),
        case("averaged_model", sgd(), {"cause": "averaging", "setting": AVERAGED.format(0.9)}, average=0.9),
        case("detached_norm", sgd(), {"cause": "detached-norm"}, similarity=detached),
        case(
            "joint_norm", sgd(), {"cause": "wrong-axis", "setting": "one norm for all looked-up rows"}, similarity=joint
        ),
        case("frozen_rows", sgd(), {"cause": "frozen-rows", "setting": f"items 0 to {FROZEN - 1}"}, before_step=freeze),
        case(
            "dot",
            sgd(0.2),
            {"cause": "dot", "similarity": "dot", "lr": "0.2"},
            similarity=lambda u, q: u @ q.T,
        ),
        case(
            "normalize_eps",
            sgd(0.01),
            {"cause": "epsilon", "setting": "max(norm, 0.1)", "lr": "0.01"},
            similarity=lambda u, q: functional.normalize(u, eps=0.1) @ functional.normalize(q, eps=0.1).T,
            std=0.02,
        ),
        case("float16", sgd(), {"cause": "narrow-storage", "dtype": "float16"}, dtype=torch.float16),
        case("bfloat16", sgd(), {"cause": "narrow-storage", "dtype": "bfloat16"}, dtype=torch.bfloat16),
        case(
            "cosine_schedule",
            sgd(),
            {"cause": "schedule", "setting": annealed},
            schedule=lambda moved: rule.lr_scheduler.CosineAnnealingLR(moved, STEPS),
        ),
        case(
            "accumulation",
            sgd(),
            {"cause": "accumulation", "setting": "4; gradients are recorded as summed so far"},
            accumulate=4,
        ),
        case("adam", lambda t: rule.Adam(t, 0.02), adaptive("adam", 0.02)),
        case("amsgrad", lambda t: rule.Adam(t, 0.02, amsgrad=True), adaptive("amsgrad", 0.02)),
        case("adamw", lambda t: rule.AdamW(t, 0.02, weight_decay=0.1), adaptive("adamw", 0.02, weight_decay="0.1")),
        case("sparse_adam", lambda t: rule.SparseAdam(t, 0.02), adaptive("adam", 0.02, rows="lazy"), sparse=True),
        case("adagrad", lambda t: rule.Adagrad(t, 0.1), adaptive("adagrad", 0.1)),
        case("rmsprop", lambda t: rule.RMSprop(t, 0.01), adaptive("rmsprop", 0.01, setting="alpha 0.99")),
        case("nadam", lambda t: rule.NAdam(t, 0.02), adaptive("nadam", 0.02)),
        case("adafactor", lambda t: rule.Adafactor(t, 0.1), adaptive("adafactor", 0.1)),
    ]


# JAX and optax


def optax_cases() -> list[Case]:
    import jax
    import jax.numpy as jnp
    import optax

    def unit(x: Any, norm: Any = None) -> Any:
        return x / (jnp.linalg.norm(x, axis=1, keepdims=True) if norm is None else norm)

    def normalised(u: Any, q: Any) -> Any:
        return unit(u) @ unit(q).T

    def detached(u: Any, q: Any) -> Any:
        u_norm, q_norm = (jax.lax.stop_gradient(jnp.linalg.norm(x, axis=1, keepdims=True)) for x in (u, q))
        return unit(u, u_norm) @ unit(q, q_norm).T

    def train(
        path: Path,
        rule: Any,
        *,
        similarity: Callable[[Any, Any], Any] = normalised,
        dtype: Any = jnp.float32,
        project: Callable[[Any], Any] = lambda tables: tables,
        average: float | None = None,
        frozen: int = 0,
        scale: float = 1.0,
        optimizer: dict[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        items, users, pairs = data()
        tables = {"item": jnp.asarray(items, dtype), "user": jnp.asarray(users, dtype)}
        state, averaged = rule.init(tables), tables

        def loss(tables: Any, u_ids: Any, q_ids: Any) -> Any:
            logits = similarity(tables["user"][u_ids], tables["item"][q_ids]).astype(jnp.float32) / TEMPERATURE
            return scale * -jnp.mean(jnp.diag(jax.nn.log_softmax(logits)))

        @jax.jit
        def step(tables: Any, state: Any, u_ids: Any, q_ids: Any) -> Any:
            value, grads = jax.value_and_grad(loss)(tables, u_ids, q_ids)
            unscaled = jax.tree_util.tree_map(lambda g: g / scale, grads)
            updates, state = rule.update(unscaled, state, tables)
            if frozen:
                updates["item"] = updates["item"].at[:frozen].set(0.0)
            return value / scale, grads, project(optax.apply_updates(tables, updates)), state

        declared = {**LOSS, "encoder": "id", "grad_stage": "raw", "param_dtype": jnp.dtype(dtype).name, **settings}
        with Recorder(path, force=True, **declared) as recorder:
            recorder.declare(optimizer=optimizer)
            for u_ids, q_ids in pairs:
                value, grads, after, state = step(tables, state, u_ids, q_ids)
                seen, seen_after = tables, after
                if average is not None:
                    seen, averaged = averaged, optax.incremental_update(after, averaged, 1 - average)
                    seen_after = averaged
                recorded = {
                    name: {"ids": ids, "q": seen[name], "q_next": seen_after[name], "grad": grads[name]}
                    for name, ids in (("item", q_ids), ("user", u_ids))
                }
                recorder.record(loss=value, users=u_ids, positives=q_ids, **recorded)
                tables = after

    def row_ball(limit: float) -> Callable[[Any], Any]:
        ball = jax.vmap(lambda row: optax.projections.projection_l2_ball(row, limit))
        return lambda tables: jax.tree_util.tree_map(ball, tables)

    package = f"optax {optax.__version__}, jax {jax.__version__}"

    def case(run: str, rule: Any, truth: dict[str, Any] | None = None, **options: Any) -> Case:
        known = {"lr": "0.5", **(truth or {})}
        described = Truth(f"optax_{run}", package=package, **known)
        options.setdefault("optimizer", declaration(described))
        return Case(described, lambda path: train(path, rule, **options))

    def adaptive(name: str, lr: float, **more: str) -> dict[str, str]:
        return {"optimizer": name, "lr": str(lr), "momentum": "", **more}

    warmup = optax.warmup_cosine_decay_schedule(0.0, 0.5, 5, STEPS)
    return [
        case("sgd", optax.sgd(0.5)),
        case("momentum", optax.sgd(0.5, momentum=0.7), {"momentum": "0.7"}),
        case("nesterov", optax.sgd(0.5, momentum=0.7, nesterov=True), {"momentum": "0.7", "nesterov": "true"}),
        case("decay", optax.chain(optax.add_decayed_weights(0.05), optax.sgd(0.5)), {"weight_decay": "0.05"}),
        case("clip", optax.chain(optax.clip(0.01), optax.sgd(0.5)), {"cause": "value-clipping", "setting": "0.01"}),
        case(
            "clip_momentum",
            optax.chain(optax.clip(0.01), optax.sgd(0.5, momentum=0.9)),
            {"cause": "value-clipping", "setting": "0.01", "momentum": "0.9"},
        ),
        case(
            "clip_by_global_norm",
            optax.chain(optax.clip_by_global_norm(0.1), optax.sgd(0.5)),
            {"cause": "norm-clipping", "setting": "0.1, both towers together"},
        ),
        case("loss_scale", optax.sgd(0.5), {"cause": "loss-scaling", "setting": "128"}, scale=128.0),
        case(
            "l2_ball",
            optax.sgd(0.5),
            {"cause": "max-norm", "setting": "1.2, all rows after the step"},
            project=row_ball(1.2),
        ),
        case(
            "incremental_update", optax.sgd(0.5), {"cause": "averaging", "setting": AVERAGED.format(0.8)}, average=0.8
        ),
        case("detached_norm", optax.sgd(0.5), {"cause": "detached-norm"}, similarity=detached),
        case(
            "frozen_rows",
            optax.sgd(0.5),
            {"cause": "frozen-rows", "setting": f"items 0 to {FROZEN - 1}"},
            frozen=FROZEN,
        ),
        case(
            "multi_steps",
            optax.MultiSteps(optax.sgd(0.5), 4),
            {"cause": "accumulation", "setting": "4; their mean; each recorded alone"},
        ),
        case(
            "warmup_cosine",
            optax.sgd(warmup),
            {"cause": "schedule", "setting": "linear to 0.5 in 5 steps, cosine to 0"},
            optimizer={"name": "sgd"},
        ),
        case("lion", optax.lion(0.01, weight_decay=0.0), adaptive("lion", 0.01)),
        case("sign_sgd", optax.sign_sgd(0.01), adaptive("signsgd", 0.01)),
        case("adam", optax.adam(0.02), adaptive("adam", 0.02)),
        case("amsgrad", optax.amsgrad(0.02), adaptive("amsgrad", 0.02, setting="the largest corrected second moment")),
        case("adagrad", optax.adagrad(0.1), adaptive("adagrad", 0.1, setting="starts at 0.1; epsilon inside the root")),
        case("rmsprop", optax.rmsprop(0.01), adaptive("rmsprop", 0.01, setting="0.9; epsilon inside the root")),
        case("lamb", optax.lamb(0.05), adaptive("lamb", 0.05, setting="one trust ratio a table")),
        case(
            "lars",
            optax.lars(0.5, weight_decay=0.0, trust_coefficient=0.1, momentum=0.0),
            {"optimizer": "lars", "setting": "one trust ratio a table"},
        ),
    ]


# Keras on TensorFlow


def keras_cases() -> list[Case]:
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras
    import tensorflow as tf

    def train(
        path: Path, make: Callable[[], Any], *, constraint: Any = None, dense: bool = False, declared: Any, **more: Any
    ) -> None:
        items, users, pairs = data()
        tables = []
        for values in (items, users):
            table = keras.layers.Embedding(*values.shape, embeddings_constraint=constraint)
            table.build()
            table.embeddings.assign(values)
            tables.append(table)
        variables = [table.embeddings for table in tables]
        optimizer = make()
        optimizer.build(variables)
        settings = {**LOSS, "encoder": "id", "grad_stage": "raw", "param_dtype": "float32", **more}
        with Recorder(path, force=True, **settings) as recorder:
            for name, variable in zip(("item", "user"), variables, strict=True):
                recorder.watch(name, lambda variable=variable: variable.numpy(), optimizer=declared)
            recorder.declare(framework=f"keras {keras.__version__} on tensorflow {tf.__version__}")
            for u_ids, q_ids in pairs:
                with recorder.step(user=u_ids, item=q_ids, users=u_ids, positives=q_ids) as step:
                    with tf.GradientTape() as tape:
                        u, q = tables[1](u_ids), tables[0](q_ids)
                        logits = tf.nn.l2_normalize(u, 1) @ tf.transpose(tf.nn.l2_normalize(q, 1)) / TEMPERATURE
                        labels = tf.range(PAIRS)
                        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
                        scaled = optimizer.scale_loss(loss)
                    grads = tape.gradient(scaled, [variable.value for variable in variables])
                    if dense:
                        grads = [tf.convert_to_tensor(grad) for grad in grads]
                    for name, grad in zip(("item", "user"), grads, strict=True):
                        step.gradient(name, grad)
                    optimizer.apply(grads, variables)
                    step.loss = loss

    rule = keras.optimizers
    package = f"keras {keras.__version__} on tensorflow {tf.__version__}"

    def case(run: str, make: Callable[[], Any], truth: dict[str, Any] | None = None, **options: Any) -> Case:
        known = {"lr": "0.5", **(truth or {})}
        described = Truth(f"keras_{run}", package=package, **known)
        return Case(described, lambda path: train(path, make, declared=declaration(described), **options))

    def adaptive(name: str, lr: float, **more: str) -> dict[str, str]:
        return {"optimizer": name, "lr": str(lr), "momentum": "", **more}

    sparse = {"rows": "lazy"}
    return [
        case("sgd_sparse", lambda: rule.SGD(0.5), sparse),
        case("momentum", lambda: rule.SGD(0.5, momentum=0.9), {"momentum": "0.9"}, dense=True),
        case(
            "decay",
            lambda: rule.SGD(0.5, weight_decay=0.02),
            {"weight_decay": "0.02", "setting": "decoupled"},
            dense=True,
        ),
        case(
            "clipvalue",
            lambda: rule.SGD(0.5, clipvalue=0.01),
            {"cause": "value-clipping", "setting": "0.01"},
            dense=True,
        ),
        case(
            "clipnorm",
            lambda: rule.SGD(0.5, clipnorm=0.05),
            {"cause": "norm-clipping", "setting": "0.05, each tower by itself"},
            dense=True,
        ),
        case(
            "loss_scale",
            lambda: rule.LossScaleOptimizer(rule.SGD(0.5), initial_scale=256.0),
            {"cause": "loss-scaling", "setting": "256"},
            dense=True,
        ),
        case(
            "max_norm",
            lambda: rule.SGD(0.5),
            {"cause": "max-norm", "setting": "1.2, all rows after the step"},
            constraint=keras.constraints.MaxNorm(1.2, axis=1),
            dense=True,
        ),
        case(
            "unit_norm",
            lambda: rule.SGD(0.5),
            {"cause": "renormalisation", "setting": "to 1, all rows"},
            constraint=keras.constraints.UnitNorm(axis=1),
            dense=True,
        ),
        case(
            "use_ema",
            lambda: rule.SGD(0.5, use_ema=True, ema_momentum=0.8, ema_overwrite_frequency=1),
            {"cause": "averaging", "setting": "every step the table becomes its exponential average, 0.8"},
            dense=True,
        ),
        case(
            "accumulation",
            lambda: rule.SGD(0.5, gradient_accumulation_steps=4),
            {"cause": "accumulation", "setting": "4; their mean; each recorded alone"},
            dense=True,
        ),
        case(
            "adam",
            lambda: rule.Adam(0.02),
            adaptive("adam", 0.02, setting="epsilon beside the uncorrected root"),
            dense=True,
        ),
        case(
            "adam_sparse_gradients",
            lambda: rule.Adam(0.02),
            adaptive(
                "adam",
                0.02,
                cause="duplicate-squares",
                setting="of a row's duplicate gradients the squares are added, not the sum squared",
            ),
        ),
    ]


PACKAGES = {"torch": torch_cases, "optax": optax_cases, "keras": keras_cases}
COLUMNS = [field.name for field in fields(Truth)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", choices=PACKAGES)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "fixtures/recordings")
    parser.add_argument("--only", default="", help="runs whose name contains this")
    options = parser.parse_args()
    truth = options.out / "truth.tsv"
    known: dict[str, dict[str, str]] = {}
    if truth.exists():
        with truth.open() as file:
            known = {row["run"]: row for row in csv.DictReader(file, delimiter="\t")}
    for case in PACKAGES[options.package]():
        if options.only in case.truth.run:
            case.make(options.out / f"{case.truth.run}.safetensors")
            known[case.truth.run] = asdict(case.truth)
    with truth.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(known[run] for run in sorted(known))


if __name__ == "__main__":
    main()
