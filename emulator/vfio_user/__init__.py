"""The emulated card as a PCI function behind the vfio-user protocol, for any virtual machine.

`protocol` and `config_space` are pure; `connection` moves messages and file descriptors; `dma` and
`interrupts` are the card's ways to the client; `function` is the PCI function made of all of them;
`session` serves one client, and `server` one client after the other.
"""
