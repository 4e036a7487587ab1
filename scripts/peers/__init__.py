"""Measures hnsw-lab beside other libraries. `scripts/bench-peers` is the command; results/README.md describes its files.

    table.py      what is compared: data sets, configurations of ours and of peers, groups, floors
    adapters.py   how each peer is built, searched, saved and loaded
    worker.py     one peer in a process of its own
    lab.py        one `hnsw-lab sweep` as rows of the same form
    campaign.py   blocks: who is measured when
    document.py   the result file
    curves.py     rates at a recall, ratios inside a block, medians
    roofline.py   what share of the memory's limit a search reaches
    report.py     tables from result files
    concurrency.py    one writer beside one reader, more threads than cores
    tax.py        a table from a file of `hnsw-lab tax`
    markdown.py   cells and tables

Only adapters.py, datasets.py and worker.py need numpy.
"""
