-- What an application asks. The same text works in every isolation.

SELECT number, customer, country, status, total, items FROM order_overview ORDER BY number;

SELECT number, total FROM open_orders ORDER BY number;

SELECT c.name, count(o.id) AS orders, coalesce(sum(o.total), 0) AS spent
FROM customers c LEFT JOIN orders o ON o.customer_id = c.id
GROUP BY c.name ORDER BY c.name;

SELECT p.sku, p.name, s.quantity FROM products p JOIN stock s ON s.product_id = p.id
WHERE p.active AND p.price < 100 ORDER BY p.sku;

WITH RECURSIVE tree AS (
    SELECT id, name AS path FROM categories WHERE parent_id IS NULL
    UNION ALL
    SELECT c.id, t.path || ' / ' || c.name FROM categories c JOIN tree t ON t.id = c.parent_id
)
SELECT path FROM tree ORDER BY path;
