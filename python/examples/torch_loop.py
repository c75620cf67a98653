"""A two-tower model in PyTorch. The lines that record it end in `# perpend`."""

import sys

import torch

from perpend_recorder.torch import TorchRecorder  # perpend

torch.manual_seed(0)
items, users = torch.nn.Embedding(20, 8), torch.nn.Embedding(12, 8, sparse=True)
optimizer = torch.optim.SGD([*items.parameters(), *users.parameters()], lr=0.5)

recorder = TorchRecorder(sys.argv[1], similarity="cosine", temperature=0.2, loss="info-nce")  # perpend
recorder.watch("item", items, optimizer)  # perpend
recorder.watch("user", users, optimizer)  # perpend
for _ in range(30):
    user_ids, item_ids = torch.randint(12, (16,)), torch.randint(20, (16,))
    with recorder.step(user=user_ids, item=item_ids) as step:  # perpend
        optimizer.zero_grad()
        u = torch.nn.functional.normalize(users(user_ids), eps=0.0)
        q = torch.nn.functional.normalize(items(item_ids), eps=0.0)
        loss = torch.nn.functional.cross_entropy(u @ q.T / 0.2, torch.arange(16))
        loss.backward()
        optimizer.step()
        step.loss = loss  # perpend
recorder.close()  # perpend
