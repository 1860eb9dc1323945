/* calls.c - the calls of functions in a query, wherever they are in it. */
#include "guard.h"

#include "nodes/nodeFuncs.h"

struct visit {
    void (*call)(FuncExpr *call);
};

static bool walk(Node *node, void *context)
{
    if (!node)
        return false;
    if (IsA(node, Query))
        return query_tree_walker((Query *)node, walk, context, 0);
    if (IsA(node, FuncExpr))
        ((const struct visit *)context)->call((FuncExpr *)node);
    return expression_tree_walker(node, walk, context);
}

void guard_each_call(Node *node, void (*call)(FuncExpr *call))
{
    struct visit visit = {call};
    (void)walk(node, &visit);
}
