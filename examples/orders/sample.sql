-- A little of everything, as one tenant. The same text works in every isolation.
BEGIN;

INSERT INTO customers (email, name, country) VALUES
    ('ada@example.com', 'Ada Lovelace', 'GB'),
    ('sophie@example.com', 'Sophie Germain', 'FR'),
    ('emmy@example.com', 'Emmy Noether', 'DE');

INSERT INTO addresses (customer_id, label, street, city, country)
SELECT id, 'home', '12 St James''s Square', 'London', 'GB' FROM customers
WHERE email = 'ada@example.com';

INSERT INTO categories (name) VALUES ('Instruments');
INSERT INTO categories (parent_id, name)
SELECT id, 'Calculators' FROM categories WHERE name = 'Instruments' AND parent_id IS NULL;

INSERT INTO products (sku, name, category_id, price)
SELECT v.sku, v.name, c.id, v.price
FROM (VALUES ('ENG-1', 'Difference engine', 9999.00),
             ('RUL-7', 'Slide rule', 24.50),
             ('ABA-3', 'Abacus', 12.00)) AS v(sku, name, price)
JOIN categories c ON c.name = 'Calculators';

INSERT INTO warehouses (code, city, country) VALUES ('OSL', 'Oslo', 'NO');
INSERT INTO stock (warehouse, product_id, quantity) SELECT 'OSL', id, 10 FROM products;
INSERT INTO discounts (code, percent) VALUES ('WELCOME', 10);

INSERT INTO orders (number, customer_id, ship_to, warehouse, discount)
SELECT 'A-1001', c.id, a.id, 'OSL', 'WELCOME'
FROM customers c LEFT JOIN addresses a ON a.customer_id = c.id
WHERE c.email = 'ada@example.com';
INSERT INTO orders (number, customer_id)
SELECT 'A-1002', id FROM customers WHERE email = 'sophie@example.com';

INSERT INTO order_items (order_id, line, product_id, quantity, unit_price)
SELECT o.id, row_number() OVER (ORDER BY p.sku), p.id, 2, p.price
FROM orders o, products p
WHERE o.number = 'A-1001' AND p.sku IN ('RUL-7', 'ABA-3');
INSERT INTO order_items (order_id, line, product_id, quantity, unit_price)
SELECT o.id, 1, p.id, 1, p.price
FROM orders o, products p
WHERE o.number = 'A-1002' AND p.sku = 'ENG-1';

INSERT INTO payments (order_id, reference, amount, currency)
SELECT id, 'PAY-' || number, total, 'EUR' FROM orders WHERE number = 'A-1001';
UPDATE orders SET status = 'paid' WHERE number = 'A-1001';

-- An upsert names the constraint, and so works whether or not the key has more columns.
INSERT INTO customers (email, name, country) VALUES ('ada@example.com', 'Ada King', 'GB')
ON CONFLICT ON CONSTRAINT customers_email_key DO UPDATE SET name = excluded.name;

COMMIT;
