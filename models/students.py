"""Students: trained on the teachers' probabilities and the annotators' labels."""
import time
import numpy as np
import torch
from batches import DEVICE, Schedule, adamw, autocast, step
from corpora import ANY, LABELS


def targets(pool, x):
    """Of a batch of a student's texts: the teachers' probabilities (batch x n x 9; 0 where there is no opinion) and the
    labels that annotators allow.  Pieces within a word are inside of its entity."""
    word = x["word"].clamp(min=0)
    soft, bits = pool.soft[word] * (x["word"] >= 0).unsqueeze(2), pool.bits(x["word"])
    may = ((bits.unsqueeze(2) >> torch.arange(len(LABELS), device=DEVICE)) & 1).float()
    within = x["inside"].bool().unsqueeze(2)
    def inner(p):
        q = p.clone()
        q[..., 2::2] += q[..., 1::2]
        q[..., 1::2] = 0
        return q
    hard = (bits != ANY).float()
    return torch.where(within, inner(soft), soft), torch.where(within, inner(may).clamp(max=1), may), hard


def student_loss(logits, soft, may, hard, weight):
    """weight: of the annotators' labels where there are some; the rest is the teachers'."""
    logp = logits.float().log_softmax(2)
    annotated = -logp.masked_fill(may == 0, -1e9).logsumexp(2)
    taught = (soft * (soft.clamp(min=1e-8).log() - logp)).sum(2)
    opinion = (soft.sum(2) > .5).float()
    share = weight * hard * opinion + hard * (1 - opinion)          # all the annotators' where no teacher has an opinion
    counted = torch.maximum(hard, opinion)
    return (annotated * share + taught * opinion * (1 - share)).sum() / counted.sum().clamp(min=1)


def student_groups(m, rate):
    matrices = [p for n, p in m.named_parameters() if p.dim() == 2 and n not in ("position", "table", "case")]
    rest = [p for n, p in m.named_parameters() if not (p.dim() == 2 and n not in ("position", "table", "case"))]
    return [{"params": matrices, "rate": rate}, {"params": rest, "rate": rate, "weight_decay": 0.}]


def train_student(m, pool, s, rate, seconds, steps, batch, dropout, a):
    torch.manual_seed(a.seed)
    rng = np.random.RandomState(a.seed)
    m.dropout, texts, labelled = dropout, pool.students[s], pool.labelled[s]
    m.to(DEVICE).train()
    optimizer, schedule = adamw(student_groups(m, rate)), Schedule(seconds, steps, 200)
    pieces, running, batches, last = 0, 0., [], False
    while (progress := schedule.progress()) < 1:
        if progress > 1 - a.hard_end and not last:
            batches, last = [], True                     # the end: annotated texts alone
        if not batches:
            batches = texts.batches(np.flatnonzero(labelled) if last else np.arange(len(labelled)), batch, rng)
        x, lengths = texts.take(batches.pop(), ids=0, inside=0, word=-1)
        with autocast():
            logits = m(x["ids"], lengths)
        loss = student_loss(logits, *targets(pool, x), a.hard_end_weight if last else a.hard_weight)
        step(m, optimizer, loss, schedule.factor(progress))
        schedule.step += 1
        pieces += x["ids"].numel()
        running = .99 * running + .01 * loss.detach()
        if schedule.step % 1000 == 0:
            print(f"student {s} step {schedule.step} loss {float(running) / (1 - .99 ** schedule.step):.4f} {pieces} pieces "
                  f"with padding, {time.time() - schedule.began:.0f} s", flush=True)
    print(f"student {s}: {schedule.step} steps, {pieces} pieces with padding, {time.time() - schedule.began:.0f} s", flush=True)
    return m.eval()
