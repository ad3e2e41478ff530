"""One Ductnet for cards of several processes.

The processes meet at a path. Whoever finds nobody there is the hub: it has the net and the services
of the public test network. Everybody, the hub's own card included, is a member, and reaches the net
through a socket. When the hub is lost, another member takes its place; packets that were under way
then are lost, as packets may be, and nothing else is.
"""
