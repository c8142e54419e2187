"""Teachers: trained on all folds but one (pool.py), asked for their opinion on that one."""
import time
import numpy as np
import torch
from batches import DEVICE, Schedule, adamw, autocast, step
from corpora import ANY
from mpnet import PAD as TEACHER_PAD, load_encoder
from network import loss_of
from pool import UNLABELLED

COLLAPSE = 400                                   # steps after which a teacher's loss must have fallen


def teacher_groups(t, a):
    """Lower layers learn slower; what is new learns faster."""
    depth = len(t.layer)
    new = list(t.head.parameters()) + list(t.shape.parameters())
    return [{"params": new, "rate": a.teacher_head_rate}] + [
        {"params": list(l.parameters()), "rate": a.teacher_rate * a.teacher_decay ** (depth - 1 - i)}
        for i, l in enumerate(t.layer) if i >= t.frozen]


def attempt_teacher(pool, fold, a, slower):
    """A trained teacher; None when its loss shows after COLLAPSE steps that it has learned nothing."""
    torch.manual_seed(a.seed + fold)
    rng = np.random.RandomState(a.seed + fold)
    t, _ = load_encoder(a.encoder)
    t.freeze(a.teacher_frozen)
    t.to(DEVICE).train()
    optimizer, schedule = adamw(teacher_groups(t, a)), Schedule(a.teacher_seconds, a.teacher_steps, a.teacher_warm)
    which, pieces, running, batches = np.flatnonzero((pool.fold != fold) & (pool.fold != UNLABELLED)), 0, 0., []
    while (progress := schedule.progress()) < 1:
        if not batches:
            batches = pool.windows.batches(which, a.teacher_batch, rng)
        x, lengths = pool.windows.take(batches.pop(), ids=TEACHER_PAD, shapes=0, word=-1)
        with autocast():
            logits = t(x["ids"], x["shapes"])
        allowed = pool.bits(x["word"])
        known = allowed != ANY
        loss = (loss_of(logits.float().log_softmax(2), allowed) * known).sum() / known.sum().clamp(min=1)
        step(t, optimizer, loss, schedule.factor(progress) * slower)
        schedule.step += 1
        pieces += x["ids"].numel()
        running = .98 * running + .02 * loss.detach()
        if schedule.step % a.report == 0:
            shown = float(running) / (1 - .98 ** schedule.step)
            print(f"teacher {fold} step {schedule.step} loss {shown:.4f} {pieces} pieces with padding, "
                  f"{time.time() - schedule.began:.0f} s", flush=True)
            if schedule.step == COLLAPSE and shown > .6:
                return None
    print(f"teacher {fold}: {schedule.step} steps, {pieces} pieces with padding, {time.time() - schedule.began:.0f} s",
          flush=True)
    return t.eval()


def train_teacher(pool, fold, a):
    for slower in 1, .5, .25:
        t = attempt_teacher(pool, fold, a, slower)
        if t is not None:
            return t
        print(f"teacher {fold} collapsed at {slower} of its rate", flush=True)
    raise SystemExit("no teacher learned anything")


def opinions(t, pool, which):
    """The probabilities of every word of these windows, written to a table of the pool's size (others 0)."""
    table = torch.zeros_like(pool.soft)
    with torch.no_grad(), autocast():
        for batch in pool.windows.batches(which, 32768, np.random.RandomState(0)):
            x, _ = pool.windows.take(batch, ids=TEACHER_PAD, shapes=0, word=-1)
            p = t(x["ids"], x["shapes"]).float().softmax(2)
            begins = x["word"] >= 0
            table[x["word"][begins]] = p[begins]
    return table
